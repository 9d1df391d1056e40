#!/usr/bin/env python3
"""A table of what is identified of the network files in a folder, seed by seed: verdict, error, bound, queries, seconds.

    studies/networks.py FOLDER [--seeds 1,2,3] [--only NAME,...] [--server COMMAND] [-- OPTIONS OF identify]

Each FOLDER/*.safetensors is a black box: by itself, or through COMMAND, in which {} stands for the file, a program that
answers points as the file's user has them. Markdown on standard output; the standard library is all that is needed.
"""
import argparse
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

PROGRAM = pathlib.Path(__file__).resolve().parent.parent / "target" / "release" / "disentangle"


def shape(path):
    """Inputs, units and outputs of a network file, with its activations."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    about = header.pop("__metadata__", {})
    weights = sorted((k for k in header if k.endswith(".weight")), key=lambda k: int(k.split(".")[0]))
    sizes = [header[weights[0]]["shape"][1]] + [header[k]["shape"][0] for k in weights]
    names = [about.get("activation", "tanh"), about.get("output_activation", "")]
    named = " ".join(name for name in names if name not in ("", "linear", "none"))
    return sizes, named


def row(path, seed, options):
    """One run, verified: the cells of its row."""
    sizes, named = shape(path)
    with tempfile.TemporaryDirectory() as folder:
        found, report = pathlib.Path(folder) / "found.safetensors", pathlib.Path(folder) / "report.json"
        command = [PROGRAM, "identify", "--quiet", "--seed", str(seed), "--out", found, "--report", report]
        if options.server:
            box = ["--process", options.server.replace("{}", str(path)), "--input-dim", str(sizes[0])]
            box += ["--output-dim", str(sizes[-1])] if options.all else []
        else:
            box = ["--network", path]
        subprocess.run([*command, *box, *options.more], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if not report.exists():
            return [path.stem, "-".join(map(str, sizes)), named, seed, "refused", "", "", "", ""]
        said = json.loads(report.read_text())
        error = ""
        if found.exists():
            verify = [PROGRAM, "verify", "--json", path, found]
            answer = subprocess.run(verify, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
            error = json.loads(answer or "{}").get("parameter_error")
        number = lambda value: f"{value:.0e}" if isinstance(value, (int, float)) else "-"
        return [path.stem, "-".join(map(str, sizes)), named, seed, said["status"], number(error),
                number(said["parameter_error_bound"]), f"{said['queries']['total']:,}", f"{said['seconds']['total']:.1f}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--only", default="", help="names of files, without their ending")
    parser.add_argument("--server", help="a command that serves a file, {}")
    parser.add_argument("--all", action="store_true", help="the command answers all outputs")
    mine, more = sys.argv[1:], []
    if "--" in mine:
        mine, more = mine[: mine.index("--")], mine[mine.index("--") + 1 :]
    options = parser.parse_args(mine)
    options.more = more
    if not options.folder.is_dir():
        sys.exit(f"{options.folder} is not there: nothing to measure")
    if not PROGRAM.exists():
        sys.exit(f"{PROGRAM} is not there: cargo build --release")
    only = [name for name in options.only.split(",") if name]
    head = ["network", "layers", "activation, link", "seed", "verdict", "error", "bound", "queries", "seconds"]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for path in sorted(options.folder.glob("*.safetensors")):
        if not only or path.stem in only:
            for seed in options.seeds.split(","):
                print("| " + " | ".join(map(str, row(path, seed, options))) + " |", flush=True)


if __name__ == "__main__":
    main()
