"""What files of build tools and of CI tell: services of Maven, Gradle, npm, Go, Rust, .NET, …; pipelines.

Sources: the reference of each tool for its workspace file; what starts a program, by the tool's own rule.
"""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipegraft.core.errors import ConfigError
from pipegraft.core.reading import load_json, load_marked

__all__ = [
    "GENERIC",
    "Found",
    "Tree",
    "find_services",
    "is_development",
    "is_ours",
    "name_of_folder",
    "pipelines_in",
]

GENERIC = frozenset(
    {"src", "app", "source", "server", "docker", ".docker", "build", "deploy", "deployment", "deployments",
     "ci", "infra", "main", "cmd", "code", "container", "package", "dist"}
)  # fmt: skip
"""Folder names that say nothing about what is in them: the one above is asked."""
_NOT_OURS = frozenset(
    {"test", "tests", "testdata", "e2e", "example", "examples", "sample", "samples", "docs", "vendor",
     "node_modules", ".devcontainer", ".github", ".gitlab", "hack", "scripts", "third_party"}
)  # fmt: skip
_HOLDERS = frozenset({"services", "apps", "packages", "crates", "components", "modules", "libs", "projects"})
"""Folder names that say what kind of things are in them, and nothing of any one."""
_MODULE = re.compile(r"<module>\s*([^<\s]+)\s*</module>")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_PACKAGING = re.compile(r"<packaging>\s*(\w+)\s*</packaging>")
_SPRING = re.compile(r"spring-boot-maven-plugin|quarkus-maven-plugin|micronaut-maven-plugin|jib-maven-plugin")
_GRADLE_APP = re.compile(
    r"org\.springframework\.boot|io\.quarkus\b|io\.micronaut\.application|io\.ktor\.plugin|\bmainClass\b"
    r"|\b(id|plugin)\s*[(:]?\s*['\"]application['\"]|\bplugins\s*\{[^}]*\bapplication\b|com\.google\.cloud\.tools\.jib"
)
_INCLUDE = re.compile(r"include\s*\(?((?:\s*,?\s*['\"][^'\"]+['\"])+)", re.MULTILINE)
_MOVED = re.compile(
    r"project\(['\"]:([^'\"]+)['\"]\)\.projectDir\s*=\s*(?:new\s+)?[Ff]ile\([^'\"]*['\"]([^'\"]+)"
)
_ALIAS = re.compile(r"\balias\s*\(?\s*libs\.plugins\.([\w.]+)")
_QUOTED = re.compile(r"['\"]([^'\"]+)['\"]")
_GO_MAIN = re.compile(r"^package\s+main\b", re.MULTILINE)
_DEVELOPMENT = re.compile(
    r"\bnodemon\b|--inspect|--watch\b|\bts-node-dev\b|\btsx watch\b|--reload\b|\bair\b|\bdlv\b"
    r"|flask run.*--debug|\bnpm run dev\b|\byarn dev\b|\bpnpm dev\b|\bvite\b(?!.*preview)|\bnext dev\b"
    r"|\b(ng|vue-cli-service) serve\b|\breact-scripts start\b|\b(nuxt|astro|remix|gatsby) dev(elop)?\b"
    r"|spring-boot:run|\bbootRun\b|runserver\b|\bdotnet watch\b|webpack(-dev-server|\s+serve)"
)
_PROCESS = re.compile(r"^([A-Za-z0-9_-]+):\s*(.+?)\s*$", re.MULTILINE)
_MAINS = ("Application.java", "Application.kt", "Main.java", "Main.kt")
_JAVA_MAIN = re.compile(r"static void main|fun main|@SpringBootApplication")
_ONCE = re.compile(r"migrat\w*|seed(er|s|ing)?", re.IGNORECASE)
"""Names of what ends by itself, even where it has a start script or a main program."""
_ONCE_OF_PROCFILE = re.compile(rf"{_ONCE.pattern}|release|console|setup", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Tree:
    """A repository's files.

    Arguments:
        files: paths relative to its root.
        read: text of a file, None if it is not text.
    """

    files: Sequence[str]
    read: Callable[[str], str | None]

    def text(self, path: str) -> str | None:
        """Text of one of the files; None for what git ignores, which is on this machine alone."""
        return self.read(name) if (name := posixpath.normpath(path)) in self.files else None


@dataclass(frozen=True, slots=True)
class Found:
    """A service that a build tool knows.

    Arguments:
        name: as the tool or the folder calls it.
        path: folder of its sources.
        why: what gave it away, for people.
        command: what it runs; a guess.
        runs: whether it goes on running; what ends, or what nothing says how to start, is told alone.
        traits: what it is told of, by the keys of an app spec.
    """

    name: str
    path: str
    why: str
    command: tuple[str, ...] = ()
    runs: bool = True
    traits: Mapping[str, Any] = field(default_factory=dict)


_JENKINS = re.compile(r"Jenkinsfile([._-]\w+)*|[\w.-]+\.(jenkinsfile|jenkins)", re.IGNORECASE)
_CI_ENDS = (".groovy", ".yml", ".yaml")
_NODE = re.compile(r"\b(pipeline|node|stage)\b")
_DECLARATIVE = re.compile(r"^pipeline\s*\{", re.MULTILINE)
_CI_FILE = re.compile(r"(?!.*(azure|bitbucket|circleci|travis|\.github/)).*\.ya?ml", re.IGNORECASE)
_CI_WORD = re.compile(r"\b(ci|cicd|gitlab|pipelines?)\b", re.IGNORECASE)
_CI_JOB = re.compile(r"^[ \t]+(before_script|script|trigger):", re.MULTILINE)
_CI_HEAD = re.compile(r"^(stages|workflow|include):", re.MULTILINE)


def pipelines_in(tree: Tree) -> list[str]:
    """CI configurations: those in their usual places, else what may be one under another name.

    A project of GitLab may name its file (``CI_CONFIG_PATH``), a job of Jenkins its own: such are told by
    what is in them. Of files for GitLab those that say the stages come alone, where there are any.
    """
    if found := [name for name in (".gitlab-ci.yml", "Jenkinsfile") if name in tree.files]:
        return found
    named = {one for one in tree.files if _JENKINS.fullmatch(posixpath.basename(one))}
    texts = {
        one: tree.read(one) or "" for one in sorted(tree.files) if one in named or one.endswith(_CI_ENDS)
    }
    ours = {file: text for file, text in texts.items() if is_ours(posixpath.dirname(file))}
    jenkins = [file for file, text in ours.items() if (_NODE if file in named else _DECLARATIVE).search(text)]
    gitlab = [
        file
        for file, text in texts.items()
        if _CI_FILE.fullmatch(file)
        and _CI_JOB.search(text)
        and (_CI_WORD.search(file) or (file in ours and _CI_HEAD.search(text)))
    ]
    return jenkins + ([file for file in gitlab if _CI_HEAD.search(texts[file])] or gitlab)


def is_development(command: Sequence[str]) -> bool:
    """Whether a command is one that developers run: it watches files, or waits for a debugger."""
    return bool(_DEVELOPMENT.search(" ".join(command)))


def is_ours(path: str) -> bool:
    """Whether a folder may hold a service: not tests, examples and what others wrote."""
    return not set(path.split("/")) & _NOT_OURS


def name_of_folder(path: str, root: str) -> str:
    """What a folder is called: its own name, or that of the one above where that says nothing.

    Arguments:
        root: what the repository's root is called.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    telling = next((at for at in reversed(range(len(parts))) if parts[at].lower() not in GENERIC), None)
    if telling is not None and parts[telling].lower() in _HOLDERS and telling + 1 < len(parts):
        telling += 1
    return root if telling is None else parts[telling]


def find_services(tree: Tree) -> list[Found]:
    """Services of every workspace whose root is the repository's, and what there may be one."""
    finders = (_maven, _gradle, _node, _nx, _dotnet, _go, _rust, _mix, _python)
    found = {one.path: one for finder in finders for one in finder(tree)}
    once = _ONCE if found else _ONCE_OF_PROCFILE
    return [
        replace(one, why=f"{one.why}, whose name says that it ends", runs=False)
        if once.fullmatch(one.name)
        else one
        for one in list(found.values()) or _procfile(tree)
    ]


def _maven(tree: Tree) -> Iterator[Found]:
    """Modules of the reactor that make something that starts (Maven, "Working with Multiple Modules")."""
    for folder in _modules(tree, ".", set()):
        text = _pom(tree, folder)
        packaging = (_PACKAGING.search(text) or ["", "jar"])[1]
        if packaging == "pom" or (folder == "." and _MODULE.search(text)):
            continue
        main = _java_main(tree, folder)
        if packaging == "war" or _SPRING.search(text) or main:
            why = "a web archive" if packaging == "war" else "a program with its own main"
            yield _of(folder, f"pom.xml: {why}", ("java", "-jar", "app.jar"))


def _modules(tree: Tree, folder: str, seen: set[str]) -> Iterator[str]:
    if folder not in seen and _join(folder, "pom.xml") in tree.files:
        seen.add(folder)
        yield folder
        for module in _MODULE.findall(_pom(tree, folder)):
            yield from _modules(tree, _join(folder, module.removesuffix("/pom.xml")), seen)


def _pom(tree: Tree, folder: str) -> str:
    return _COMMENT.sub("", tree.read(_join(folder, "pom.xml")) or "")


def _java_main(tree: Tree, folder: str) -> bool:
    below = f"{_join(folder, 'src/main')}/"
    mains = (one for one in tree.files if one.startswith(below) and one.endswith(_MAINS))
    return any(_JAVA_MAIN.search(tree.read(one) or "") for one in mains)


def _gradle(tree: Tree) -> Iterator[Found]:
    """Projects that ``settings.gradle`` includes and that make programs (Gradle, "Multi-Project Builds")."""
    settings = next((name for name in ("settings.gradle", "settings.gradle.kts") if name in tree.files), None)
    said = re.sub(r"//[^\n]*", "", tree.read(settings) or "") if settings else ""
    names = [name.strip(":") for group in _INCLUDE.findall(said) for name in _QUOTED.findall(group)]
    moved = dict(_MOVED.findall(said))
    plugins = _plugins(tree)
    for folder in [moved.get(name, name.replace(":", "/")) for name in names] or ["."]:
        files = (_join(folder, name) for name in ("build.gradle", "build.gradle.kts"))
        if (file := next((name for name in files if name in tree.files), None)) is None:
            continue
        text = _ALIAS.sub(lambda found: f"id('{plugins.get(found[1], '')}')", tree.read(file) or "")
        if _GRADLE_APP.search(text) or _java_main(tree, folder):
            yield _of(folder, f"{posixpath.basename(file)}: a program", ("java", "-jar", "app.jar"))


def _plugins(tree: Tree) -> dict[str, str]:
    """Plugins of the version catalog by their accessor (Gradle, "Version Catalogs")."""
    named = _table(_parsed(tree, "gradle/libs.versions.toml", tomllib.loads), "plugins")
    return {
        re.sub("[-_]", ".", name): str(one.get("id") if isinstance(one, dict) else one).partition(":")[0]
        for name, one in named.items()
    }


def _node(tree: Tree) -> Iterator[Found]:
    """Packages of a workspace that ``npm start`` starts (npm, "workspaces"; pnpm, "pnpm-workspace.yaml")."""
    if "package.json" not in tree.files:
        return
    globs = _parsed(tree, "package.json", load_json).get("workspaces", [])
    globs = globs.get("packages", []) if isinstance(globs, dict) else globs
    listed = _parsed(tree, "pnpm-workspace.yaml", lambda text: load_marked(text, "pnpm-workspace.yaml").data)
    globs = _texts(globs) + _texts(listed.get("packages"))
    folders = [posixpath.dirname(one) or "." for one in tree.files if f"/{one}".endswith("/package.json")]
    wanted = [one for one in folders if _in_workspace(one, globs)] if globs else ["."]
    read = {folder: _parsed(tree, _join(folder, "package.json"), load_json) for folder in sorted(wanted)}
    used = {name for one in read.values() for name in _table(one, "dependencies")}
    used |= {name for one in read.values() for name in _table(one, "devDependencies")}
    for folder, package in read.items():
        if start := _start(package):
            yield _of(folder, "package.json: it has a start script", start)
        elif globs and (name := _text(package.get("name"))) and name not in used:
            yield replace(_of(folder, "package.json: it has no start script"), runs=False)


def _in_workspace(folder: str, globs: Sequence[str]) -> bool:
    def matches(glob: str) -> bool:
        glob = glob.removeprefix("./").rstrip("/")
        pattern = re.escape(glob).replace(r"\*\*", ".+").replace(r"\*", "[^/]+")
        return re.fullmatch(pattern, folder) is not None

    excluded = [glob[1:] for glob in globs if glob.startswith("!")]
    return any(map(matches, globs)) and not any(map(matches, excluded)) and is_ours(folder)


def _start(package: Mapping[str, Any]) -> tuple[str, ...]:
    """What starts a package: ``scripts.start``; nothing for a library, or where it is for developers."""
    scripts = _table(package, "scripts")
    start = _text(scripts.get("start"))
    words = tuple(start.split())
    if not words:
        return ()
    if is_development(words):
        production = tuple((_text(scripts.get("start:prod")) or _text(scripts.get("serve"))).split())
        usable = production and not is_development(production)
        return production if usable else ("node", _text(package.get("main")) or ".")
    plain = words[0] == "node" and not re.search(r"[&|;<>$`]", start)
    return words if plain else ("npm", "start")


def _nx(tree: Tree) -> Iterator[Found]:
    """Projects of Nx that are applications (Nx, "Project configuration")."""
    for file in _all(tree, "project.json"):
        project = _parsed(tree, file, load_json)
        name = _text(project.get("name")) or posixpath.basename(posixpath.dirname(file))
        if project.get("projectType") == "application" and not name.endswith("-e2e"):
            yield Found(name, posixpath.dirname(file) or ".", f"{file}: an application", ("node", "main.js"))


def _python(tree: Tree) -> Iterator[Found]:
    """Projects with a script, of a workspace or alone (PyPA, "pyproject.toml specification"; Poetry; uv)."""
    workspace = _table(_parsed(tree, "pyproject.toml", tomllib.loads), "tool", "uv", "workspace")
    globs = _texts(workspace.get("members"))
    excluded = [f"!{one}" for one in _texts(workspace.get("exclude"))]
    for file in _all(tree, "pyproject.toml"):
        data, folder = _parsed(tree, file, tomllib.loads), posixpath.dirname(file) or "."
        scripts = _table(data, "project", "scripts") or _table(data, "tool", "poetry", "scripts")
        if excluded and folder != "." and not _in_workspace(folder, [*globs, *excluded]):
            continue
        if name := next(iter(scripts), ""):
            yield _of(folder, f"pyproject.toml: script '{name}'", (name,))
        elif folder != "." and globs and _in_workspace(folder, globs):
            yield replace(_of(folder, "pyproject.toml: it has no script"), runs=False)


def _rust(tree: Tree) -> Iterator[Found]:
    """Packages with a program, of a workspace or alone (The Cargo Book, "Cargo Targets")."""
    for file in _all(tree, "Cargo.toml"):
        data, folder = _parsed(tree, file, tomllib.loads), posixpath.dirname(file) or "."
        package, programs = _table(data, "package"), data.get("bin")
        name = _text(package.get("name")) or (name_of_folder(folder, "app") if package else "")
        sources = (_join(folder, "src/main.rs"), _join(folder, "src/bin/"))
        tables = programs if isinstance(programs, list) else []
        listed = _texts([one.get("name") for one in tables if isinstance(one, dict)])
        if name and (listed or any(one.startswith(sources) for one in tree.files)):
            command = (f"./{(listed or [name])[0]}",)
            yield Found("" if folder == "." else name, folder, f"{file}: a program", command)


def _mix(tree: Tree) -> Iterator[Found]:
    """An application of Elixir, or an umbrella of several, as one release (Mix, "mix release")."""
    if "mix.exs" in tree.files:
        app = re.search(r"\bapp:\s*:(\w+)", tree.read("mix.exs") or "")
        yield Found("", ".", "mix.exs: a release of Elixir", (f"bin/{app[1] if app else 'app'}", "start"))


def _dotnet(tree: Tree) -> Iterator[Found]:
    """Projects whose SDK or output is a program (.NET, "project SDKs")."""
    for file in _all(tree, ".csproj", ".fsproj"):
        text = tree.read(file) or ""
        name = posixpath.basename(file).rpartition(".")[0]
        web = re.search(r"""(?:Sdk|Name)=["']Microsoft\.NET\.Sdk\.(Web|Worker)\b""", text)
        program = re.search(r"<OutputType>\s*Exe\s*</OutputType>", text)
        if (web or program) and not re.search(r"Microsoft\.NET\.Test\.Sdk|IsTestProject", text):
            kind = f"a project of the {web[1]} SDK" if web else "a program"
            yield Found(name, posixpath.dirname(file) or ".", f"{file}: {kind}", ("dotnet", f"{name}.dll"))


def _go(tree: Tree) -> Iterator[Found]:
    """Main packages of a module (Go, "Organizing a Go module"): each folder below ``cmd``, else its root."""
    for mod in _all(tree, "go.mod"):
        root = posixpath.dirname(mod)
        below = f"{root}/" if root else ""
        mains = {
            posixpath.dirname(file)
            for file in tree.files
            if file.startswith(below)
            and is_ours(file.removeprefix(below))
            and re.fullmatch(r"(cmd/[^/]+/)?[^/]+(?<!_test)\.go", file.removeprefix(below))
            and _GO_MAIN.search(tree.read(file) or "")
        }
        for folder in sorted(mains):
            name = posixpath.basename(folder) if folder != root else name_of_folder(root, "")
            command = (f"./{name or 'app'}",)
            yield Found(name, folder or ".", f"{posixpath.join(folder, 'main.go')}: package main", command)


def _procfile(tree: Tree) -> Iterator[Found]:
    """Processes of a Procfile; that of the name `web` is told its port (Heroku, "The Procfile")."""
    for name, command in _PROCESS.findall(tree.read("Procfile") or "") if "Procfile" in tree.files else ():
        listens = name == "web" and "$PORT" in command
        traits = {"ports": {"http": 8080}, "env": {"PORT": "$(PIPEGRAFT_PORT_WEB)"}} if listens else {}
        yield Found(name, ".", f"Procfile: process '{name}'", ("sh", "-c", command), traits=traits)


def _all(tree: Tree, *ends: str) -> list[str]:
    """Files of ours of a name, or of an ending."""
    names = tuple(end if end.startswith(".") else f"/{end}" for end in ends)
    return sorted(one for one in tree.files if f"/{one}".endswith(names) and is_ours(one))


def _of(folder: str, why: str, command: tuple[str, ...] = ()) -> Found:
    return Found(name_of_folder(folder, ""), folder, f"{_join(folder, '')}{why}", command)


def _join(folder: str, name: str) -> str:
    return posixpath.normpath(f"{folder}/{name}") if name else "" if folder == "." else f"{folder}/"


def _parsed(tree: Tree, file: str, parse: Callable[[str], Any]) -> dict[str, Any]:
    """A file's mapping; empty if there is no such file, or it is none."""
    try:
        found = parse(tree.read(file) or "") if file in tree.files else {}
    except (ValueError, RecursionError, ConfigError):
        return {}
    return found if isinstance(found, dict) else {}


def _table(data: Mapping[str, Any], *route: str) -> dict[str, Any]:
    """The mapping at a route; empty if there is none, or something else."""
    found: Any = data
    for step in route:
        found = found.get(step) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
