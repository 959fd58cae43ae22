"""Names `_capabilities` knows: what is harmless, and whose arguments matter."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PURE_BUILTINS = _words("""
    abs all any ascii bin bool bytes callable chr complex dict divmod enumerate filter float format
    frozenset hash hex id int isinstance issubclass iter len list map max min next oct ord pow
    range repr reversed round set slice sorted str sum tuple zip NotImplemented Ellipsis object
    property staticmethod classmethod super __name__ __doc__ Exception ValueError TypeError
    KeyError IndexError RuntimeError LookupError StopIteration AttributeError NotImplementedError
    ArithmeticError OverflowError ZeroDivisionError AssertionError UnicodeError TimeoutError
    OSError
""")
"""Built-ins that compute and do nothing else; what they call is counted where it is named."""
PURE_METHODS = _words("""
    capitalize casefold center count encode decode endswith find index isalnum isalpha isascii
    isdecimal isdigit isidentifier islower isnumeric isprintable isspace istitle isupper join ljust
    lower lstrip partition removeprefix removesuffix rfind rindex rjust rpartition rsplit rstrip
    split splitlines startswith strip swapcase title translate upper zfill
    append copy difference extend get intersection isdisjoint issubset issuperset items keys
    reverse setdefault sort symmetric_difference union values as_integer_ratio bit_length
    is_integer isoformat total_seconds toordinal weekday group groups groupdict
""")
"""Methods of text, collections, numbers and dates. The type of what they are called on is not
known, so this list holds no name that also deletes, sends or stores in common libraries."""
RISKY_ROOTS = _words("""
    os subprocess shutil socket ssl http urllib requests httpx aiohttp ftplib smtplib telnetlib
    importlib ctypes sys builtins pathlib tempfile pickle marshal shelve multiprocessing threading
    signal pty asyncio webbrowser sqlite3 eval exec compile open __import__ getattr setattr delattr
    globals locals vars type
""")
"""Modules and built-ins that reach processes, files, the network or the interpreter."""
RISKY_METHODS = _words("""
    execute executemany executescript run system popen spawn write write_text write_bytes
    writelines unlink rmtree rmdir remove rename replace mkdir touch chmod chown symlink_to post
    put patch delete send sendall request urlopen connect open read_text read_bytes load loads
    format format_map invoke_shell exec_command
""")
"""Methods that do the same whatever they are called on."""
HARMLESS = frozenset({"json.loads"})
"""Calls of imported functions with such a name that do nothing but make plain values of a text, as
long as no keyword gives them a function to call."""
RISKY_KEYWORDS = _words("""
    shell verify trust_remote_code check_hostname base_url api_base openai_api_base endpoint
    endpoint_url api_key proxy proxies headers callbacks autoescape safe_mode env executable
    preexec_fn cwd globals locals code hook interrupt_before interrupt_after
""")
RISKY_KEYWORD_STARTS = ("allow_", "dangerous", "unsafe", "disable_", "skip_", "bypass", "no_")
"""Arguments that widen what a call may do or where it reaches."""
MUTATORS = _words("append extend setdefault sort reverse insert")
"""Pure methods that change what they are called on: no capability on a local value only."""
CALLERS = _words("map filter iter")
"""Pure built-ins that call their first argument; others call what `key=` names."""
