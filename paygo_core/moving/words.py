"""What the columns of device lists are called: in English, French, Spanish, Portuguese, Swahili and German."""

from __future__ import annotations

import difflib
import re
import unicodedata
from functools import lru_cache

FIELDS = ("serial", "starting_code", "key", "count", "time_divider", "restricted", "model", "version", "test_code")
"""What a device list tells of a device, in the order of the public template."""
TITLES = dict(
    zip(
        FIELDS,
        (
            "Serial Number",
            "Starting Code",
            "Key",
            "Count",
            "Time Divider",
            "Restricted Digit Mode",
            "Hardware Model",
            "Version",
            "Test Code",
        ),
        strict=True,
    )
)
"""The same as the public template calls it."""

_NAMES = {
    "serial": """
        serialnumber serial serialno serialnum sn deviceserial deviceserialnumber deviceid device unitserial unitid
        unitnumber productserial productserialnumber paygid ppid
        numerodeserie noserie ndeserie numerodeserie noderserie nodeserie numserie numdeserie serie nserie
        numeroserie nrodeserie nroserie numerodeserial seriennummer serienummer geratenummer matricule
        nambayaserial nambaserial nambayamfululizo nambaya kifaa nambayakifaa
        """,
    "starting_code": """
        startingcode startcode initialcode startingtokencode basecode
        codededepart codedepart codededebut codedebut codeinitial codedemarrage codededemarrage
        codigoinicial codigodeinicio codigoinicio codigodepartida codigodearranque
        msimbowakuanzia msimbowamwanzo nambayakuanzia kodiyakuanzia startwert
        """,
    "key": """
        key secretkey devicekey tokenkey hexkey openpaygokey devicesecretkey secret encryptionkey
        cle clesecrete clesecretedelappareil cledelappareil clave clavesecreta llave llavesecreta
        chave chavesecreta ufunguo ufunguowasiri schlussel geheimschlussel geheimerschlussel
        """,
    "count": """
        count lastcount tokencount lasttokencount counter tokencounter lastcounter
        compteur compteurdejetons compteurtoken dernierscompteur derniercompteur conteo ultimoconteo contador
        contadordetokens ultimocontador contagem ultimacontagem hesabu idadi hesabuyamwisho zahler zahlerstand
        """,
    "time_divider": """
        timedivider divider timedivisor unitsperday tokenunitsperday
        diviseurdetemps diviseurtemps diviseur divisordetiempo divisortiempo divisordetempo divisortempo divisor
        unitesparjour unidadespordia kigawanyo kigawanyochamuda zeitteiler
        """,
    "restricted": """
        restricteddigitmode restricteddigitset restricteddigits restricted restrictedmode restricteddigit
        modechiffresrestreints chiffresrestreints moderestreint modedechiffresrestreints
        mododigitosrestringidos mododedigitosrestringidos digitosrestringidos modorestringido
        mododigitosrestritos mododedigitosrestritos digitosrestritos modorestrito
        tarakimuchache haliyatarakimuchache eingeschrankteziffern
        """,
    "model": """
        hardwaremodel model devicemodel productmodel product hardware
        modele modelemateriel modeledemateriel modeledelappareil modelo modelodehardware modelodelequipo
        modelodoequipamento modelodehardware mfano mfanowakifaa modell geratemodell
        """,
    "version": """
        version firmwareversion hardwareversion fwversion firmware softwareversion
        versiondufirmware versiondulogiciel versionlogiciel versionfirmware versiondelfirmware versiondefirmware
        versao versaodofirmware versaodefirmware toleo toleolafirmware firmwarestand
        """,
    "test_code": """
        testcode shorttestcode codedetest codetest codigodeprueba codigoprueba codigodeteste codigoteste
        msimbowajaribio kodiyajaribio testkode
        """,
}
_FIELD_OF = {name: field for field, names in _NAMES.items() for name in names.split()}
_HISTORY = re.compile(
    r"note|comment|remark|histor|battery|swap|repair|install|maint|service|observ|batterie|remplac|repar|bateria"
    r"|cambio|manten|manut|troca|instal|betri|ukarabati|matengenezo|ufungaji|maoni|bemerk|wartung|reparatur"
)
_CLOSE_ENOUGH = 0.9


def folded(name: str) -> str:
    """A column's name without what is in brackets, accents, case, spaces and signs."""
    text = unicodedata.normalize("NFKD", re.sub(r"[(\[].*?[)\]]", "", name[:200])).casefold()
    return "".join(letter for letter in text if letter.isalnum() and letter.isascii())


@lru_cache(maxsize=4096)
def field_of(name: str) -> str | None:
    """Which field a column's name means; slips of the pen are forgiven."""
    word = folded(name)
    if word in _FIELD_OF:
        return _FIELD_OF[word]
    if not 6 <= len(word) <= 40 or not word.isalpha():
        return None
    close = difflib.get_close_matches(word, _FIELD_OF, n=1, cutoff=_CLOSE_ENOUGH)
    return _FIELD_OF[close[0]] if close else None


def is_history(name: str) -> bool:
    """Whether a column tells what happened to the devices: battery swaps, installation and repair notes."""
    return _HISTORY.search(folded(name)) is not None
