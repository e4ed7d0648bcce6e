"""Two examples for each command, shown at the end of its `--help` and in its manual page; a test parses each."""

from __future__ import annotations

import click

# command → pairs of what it is for and how it is typed
EXAMPLES: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "": (("Watch a folder, with a live view", "run"), ("Cut out a folder, once", "once photos/ -o cutouts/")),
    "run": (
        ("With the configuration, or the folders under Pictures", "run"),
        ("Other folders, without a configuration", "run --inbox capture/ --outbox cutouts/"),
    ),
    "once": (
        ("A folder, white and square for a shop", "once photos/ -o shop/ --preset product-white"),
        ("One photo through a pipe", "once - -o - < shoe.jpg > shoe.png"),
    ),
    "init": (
        ("A commented configuration and its folders", "init"),
        ("With folders of your choice", "init --inbox ~/Capture --outbox ~/Cutouts"),
    ),
    "config": (("Every mistake with its line", "config check"), ("All settings in force", "config show")),
    "config check": (
        ("The file in force", "config check"),
        ("Another one", "config check --config studio.toml"),
    ),
    "config show": (("As TOML", "config show"), ("For scripts", "config show --json")),
    "config sample": (
        ("On the screen", "config sample"),
        ("As a file to edit", "config sample > cutoutd.toml"),
    ),
    "config schema": (
        ("On the screen", "config schema"),
        ("For an editor that completes TOML", "config schema > cutoutd.schema.json"),
    ),
    "status": (("At a glance, renewed", "status --watch"), ("For scripts", "status --json")),
    "fleet": (
        ("Certificates for this machine and two others", "fleet init studio-1 studio-2"),
        ("Who works, and who is missing", "fleet status"),
    ),
    "fleet init": (
        ("For this machine and two others", "fleet init studio-1 studio-2"),
        ("One more later", "fleet init studio-3 --scheduler tls://192.168.1.10:8786"),
    ),
    "fleet scheduler": (
        ("On all of this machine's addresses", "fleet scheduler"),
        ("In the studio's network only", "fleet scheduler --listen 192.168.1.10"),
    ),
    "fleet node": (
        ("With the folder that `fleet init` made", "fleet node --from ~/cutoutd-node"),
        ("Two photos at once at most", "fleet node --from ~/cutoutd-node --slots 2"),
    ),
    "fleet status": (("At a glance", "fleet status"), ("For scripts", "fleet status --json")),
    "failures": (("For people", "failures"), ("For scripts", "failures --json")),
    "review": (
        ("Which cutouts need a look, and why", "review"),
        (
            "Read the choices that the gallery's page saved",
            "review ~/Downloads/cutoutd-review-2026-05-04-101502.json",
        ),
    ),
    "retry": (("All that failed", "retry --all"), ("One photo", "retry DSC_1.jpg")),
    "redo": (
        ("The last two hours' cutouts, on white", "redo --since 2h --background white"),
        ("One photo with finer hair", "redo DSC_1.jpg --edge-engine learned"),
    ),
    "pause": (("Start no new photo", "pause"), ("And go on", "resume")),
    "resume": (("Go on after a pause", "resume"), ("See that it does", "status")),
    "rescan": (("Look now", "rescan"), ("See what was found", "status")),
    "forget": (("One photo's name", "forget DSC_1.jpg"), ("The whole history", "forget --all")),
    "events": (("What happens, as it happens", "events --follow"), ("For scripts", "events --json")),
    "hooks": (("In the foreground", "hooks"), ("See what a hook did", "status")),
    "models": (("What there is", "models list"), ("A larger network", "models pull isnet-general-use")),
    "presets": (("All of them", "presets"), ("One, with the rule it follows", "presets amazon")),
    "service": (("Start with the session", "service install"), ("What it says", "service logs --follow")),
    "doctor": (("For people", "doctor"), ("For scripts", "doctor --json")),
    "verify": (
        ("Prove that nothing leaves", "verify"),
        ("And keep what was written", "verify --keep proof/"),
    ),
    "gallery": (
        ("Your second screen, every pixel", "gallery --watch --full"),
        ("The client's screen", "gallery --watch --client"),
    ),
    "completion": (
        ("For bash", "completion bash > ~/.local/share/bash-completion/completions/cutoutd"),
        ("For fish", "completion fish > ~/.config/fish/completions/cutoutd.fish"),
    ),
    "desktop": (
        ("Put it into the file manager's menu", "desktop install"),
        ("Take it out again", "desktop uninstall"),
    ),
}


def examples_of(name: str) -> tuple[tuple[str, str], ...]:
    """A command's examples; those of its group where it has none of its own."""
    while name and name not in EXAMPLES:
        name = name.rpartition(" ")[0]
    return EXAMPLES.get(name, ())


def with_examples(command: click.Command, name: str) -> click.Command:
    """The command with its examples at the end of `--help`, and so for every command below it."""
    lines = [f"  cutoutd {typed}\n      {about}" for about, typed in examples_of(name)]
    # \b: the lines stay as they are.
    command.epilog = "\b\nExamples:\n" + "\n".join(lines)
    if isinstance(command, click.Group):
        for below in command.commands.values():
            with_examples(below, f"{name} {below.name}".strip())
    return command
