"""Uses an installed wheel outside the checkout: `python -I wheel_smoke.py` in an environment that has nothing else.

Its files, its metadata, its command, and a demonstration that answers, plain and streamed.
"""

import json
import re
import subprocess
import sys
from importlib import metadata, resources
from pathlib import Path
from urllib.request import Request, urlopen

PACKAGES = ("asgi_gateway", "asgi_gateway_contrib")
CHECKOUT = Path(__file__).parents[1]
COMMAND = Path(sys.executable).with_name("asgi-gateway")
DEADLINE = 30.0


def main() -> None:
    """All checks, in the order in which they fail most plainly."""
    check_files()
    check_commands()
    check_demonstration()
    print(f"asgi-gateway {metadata.version('asgi-gateway')} works from {resources.files('asgi_gateway')}")


def check_files() -> None:
    """The packages come from the wheel and are typed; nothing but them was installed."""
    for name in PACKAGES:
        folder = Path(str(resources.files(name)))
        assert not folder.is_relative_to(CHECKOUT / name), folder
        assert not folder.is_relative_to(CHECKOUT / "contrib"), folder
        assert (folder / "py.typed").is_file(), f"{name} has no py.typed"
    files = metadata.files("asgi-gateway") or []
    tops = {file.parts[0] for file in files if not file.parts[0].startswith("..")}
    assert tops == {*PACKAGES, f"asgi_gateway-{metadata.version('asgi-gateway')}.dist-info"}, tops
    assert any(file.name == "LICENSE" for file in files)


def check_commands() -> None:
    """The command and `python -m` are there, and the exit codes are those that are documented."""
    for program in ([str(COMMAND)], [sys.executable, "-I", "-m", "asgi_gateway"]):
        shown = subprocess.run([*program, "--help"], capture_output=True, text=True, check=True, timeout=DEADLINE)
        assert "serve" in shown.stdout
    wrong = subprocess.run([COMMAND, "serve", "--nonsense"], capture_output=True, check=False, timeout=DEADLINE)
    assert wrong.returncode == 2
    refused = subprocess.run(
        [COMMAND, "check", "--config", "absent.toml"], capture_output=True, text=True, check=False, timeout=DEADLINE
    )
    assert refused.returncode == 1
    assert "absent.toml" in refused.stderr


def check_demonstration() -> None:
    """`serve --demo` answers a chat with its own token, plain and streamed, and ends when told."""
    server = subprocess.Popen([COMMAND, "serve", "--demo", "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        told = "".join(server.stdout.readline() for _ in range(4))
        address, key = re.findall(r"http://[\w.:]+", told)[0], re.findall(r"sk-\w+", told)[0]
        body = {"model": "demo", "messages": [{"role": "user", "content": "one two three"}]}
        answer = json.loads(ask(address, key, body))
        assert answer["choices"][0]["message"]["content"] == "one two three"
        events = ask(address, key, {**body, "stream": True}).split(b"\n\n")
        assert events[-2] == b"data: [DONE]"
        deltas = [json.loads(event.removeprefix(b"data: "))["choices"][0]["delta"] for event in events[:-2]]
        assert "".join(delta.get("content", "") for delta in deltas) == "one two three"
        server.terminate()
        assert server.wait(DEADLINE) == 0
    finally:
        server.kill()
        server.wait()


def ask(address: str, key: str, body: dict[str, object]) -> bytes:
    """Post a chat and read the whole answer."""
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    request = Request(f"{address}/v1/chat/completions", json.dumps(body).encode(), headers)
    with urlopen(request, timeout=DEADLINE) as answer:
        content: bytes = answer.read()
        return content


if __name__ == "__main__":
    main()
