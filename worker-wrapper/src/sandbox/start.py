# What an interpreter that waits in a sandbox runs. It takes one order from the socket that it was
# started with, closes it, and becomes the program of that order. Nothing of a task is known before.
import os
import sys

SOCKET = 3
MAX_BYTES = 192 * 1024
BUNDLE = "/task/bundle"


def refuse(why):
    os.write(SOCKET, b"order: " + why.encode())
    os._exit(127)


def take():
    message = os.read(SOCKET, MAX_BYTES + 1)
    if not message:
        os._exit(127)
    if len(message) > MAX_BYTES:
        refuse("larger than 192 KiB")
    size, arguments, variables = (int.from_bytes(message[at : at + 4], sys.byteorder) for at in (0, 4, 8))
    texts = [os.fsdecode(text) for text in message[12:].split(b"\0")]
    if len(message) < 13 or size != len(message) or texts.pop() or len(texts) != arguments + variables:
        refuse("malformed")
    environment = [text.partition("=") for text in texts[arguments:]]
    if arguments < 2 or not all(name and equals for name, equals, _ in environment):
        refuse("malformed")
    os.close(SOCKET)
    # The first is the interpreter itself.
    return texts[1:arguments], {name: value for name, _, value in environment}


def preload():
    # What every UDF imports. A program without the SDK does not have it.
    before = set(sys.modules)
    try:
        import trace_udf._context  # noqa: F401
    except ImportError:
        pass
    return [name for name in sys.modules if name not in before]


def forget_if_shadowed(loaded):
    # A bundle's own module comes before one of the same name, as if nothing had been imported yet.
    names = {name.partition(".")[0] for name in loaded}
    if any(entry.partition(".")[0] in names for entry in os.listdir(BUNDLE)):
        for name in loaded:
            sys.modules.pop(name, None)


def new_main(path):
    main = type(sys)("__main__")
    main.__builtins__ = sys.modules["builtins"]
    if sys.version_info < (3, 14):
        main.__annotations__ = {}
    if path is not None:
        from _frozen_importlib_external import SourceFileLoader

        main.__file__ = path
        main.__cached__ = None
        main.__loader__ = SourceFileLoader("__main__", path)
    sys.modules["__main__"] = main
    return main


def become(arguments):
    first = arguments[0]
    sys.orig_argv = [sys.executable, "-S", *arguments]
    if first == "-c":
        sys.argv = ["-c", *arguments[2:]]
        sys.path.insert(0, "")
        source, name, main = arguments[1], "<string>", new_main(None)
    else:
        sys.argv = arguments
        name = os.path.join(BUNDLE, first)
        try:
            with open(name, "rb") as file:
                source = file.read()
        except OSError as error:
            sys.stderr.write(f"{sys.executable}: can't open file {name!r}: {error}\n")
            sys.exit(2)
        sys.path.insert(0, os.path.dirname(os.path.realpath(name)))
        main = new_main(name)
    try:
        exec(compile(source, name, "exec", dont_inherit=True), main.__dict__)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        # As the interpreter itself would show it: without this frame.
        frames = error.__traceback__.tb_next
        error.__traceback__ = frames
        sys.excepthook(type(error), error, frames)
        sys.exit(1)


def run():
    # Where this file is.
    del sys.path[0]
    loaded = preload()
    os.write(SOCKET, b"waiting")
    arguments, environment = take()
    os.environ.update(environment)
    os.chdir(BUNDLE)
    forget_if_shadowed(loaded)
    become(arguments)


run()
