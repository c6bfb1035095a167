"""Which lines of Python could run what a file holds: read from the syntax tree, so that no spelling of it hides."""

import ast
from collections.abc import Iterator

PICKLES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
RUN_TEXT = {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}
READ_PICKLES = {"pd.read_pickle", "pandas.read_pickle"}


def broken_rules(source: str) -> list[str]:
    """What a module does that it must not, each with its line."""
    tree = ast.parse(source)
    safe = {"yaml.SafeLoader", "yaml.CSafeLoader", *_safe_loaders(tree)}
    found = [*_imports(tree), *(rule for call in _calls(tree) for rule in _of_call(call, safe))]
    return [f"line {line}: {rule}" for line, rule in found]


def _imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            if name.split(".")[0] in PICKLES:
                yield node.lineno, f"imports {name}"


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _safe_loaders(tree: ast.AST) -> set[str]:
    """Classes of the module that are made of a safe YAML loader."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return {node.name for node in classes if any(ast.unparse(base) == "yaml.SafeLoader" for base in node.bases)}


def _of_call(call: ast.Call, safe: set[str]) -> Iterator[tuple[int, str]]:
    name = ast.unparse(call.func)
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if name in RUN_TEXT | READ_PICKLES:
        yield call.lineno, f"calls {name}"
    if name == "torch.load" and given.get("weights_only") != "True":
        yield call.lineno, "torch.load without weights_only=True"
    if given.get("allow_pickle", "False") != "False":
        yield call.lineno, f"{name} with allow_pickle"
    if given.get("shell", "False") != "False":
        yield call.lineno, f"{name} with shell"
    if name in ("yaml.load", "yaml.load_all"):
        loader = given.get("Loader") or (ast.unparse(call.args[1]) if len(call.args) > 1 else "")
        if loader not in safe:
            yield call.lineno, f"{name} with an unsafe loader"
    if name.startswith("yaml.") and name.split(".")[1].startswith(("unsafe_load", "full_load")):
        yield call.lineno, f"calls {name}"
