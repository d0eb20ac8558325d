"""What two images share, and what a change of code sends again: `docker history`, layer by layer."""

from pathlib import Path

import pytest

from deepseek_math.checkpoints import find
from deepseek_math.local import image
from tests.container import cog_build
from tests.container.conftest import Built
from tests.container.docker import docker

SOURCE = "COPY dir:"  # the last layer, /src


def layers(tag: str) -> list[str]:
    """The digests of an image's layers, lowest first."""
    return docker("image", "inspect", "--format", '{{join .RootFS.Layers "\\n"}}', tag).splitlines()


def steps(tag: str) -> list[tuple[int, str]]:
    """The bytes of each step that has any, lowest first, and what it ran; nothing for an imported base."""
    shown = docker("history", "--no-trunc", "--human=false", "--format", "{{.Size}} {{.CreatedBy}}", tag)
    found = []
    for line in reversed(shown.splitlines()):
        size, _, ran = line.partition(" ")
        if int(size):
            found.append((int(size), ran.replace("/bin/sh -c ", "").replace("#(nop) ", "").strip()))
    return found


def test_images_of_two_checkpoints_share_all_layers_up_to_the_source(
    demo_image: str, built: Built, capsys: pytest.CaptureFixture[str]
) -> None:
    other = built("smollm2-135m", False)
    first, second = layers(demo_image), layers(other)
    assert len(first) == len(second)
    assert first[:-1] == second[:-1]
    assert first[-1] != second[-1]
    with capsys.disabled():
        print()
        for size, step in steps(demo_image):
            print(f"{size / 1e6:8.1f} MB  {step[:100]}")
    size, step = steps(demo_image)[-1]
    assert step.startswith(SOURCE)
    assert size < 13_000_000


def test_baked_weights_are_a_layer_of_their_own_that_a_change_of_code_does_not_send_again(
    built: Built, tmp_path: Path
) -> None:
    before = layers(built("smollm2-135m", True))
    changed = tmp_path / "export"
    image.export(find("smollm2-135m"), True, changed)
    assert cog_build.weights_folders(changed) == ["weights/smollm2-135m"]
    service = changed / "deepseek_math" / "service.py"
    text = service.read_text()
    service.unlink()  # it is a second name of the repository's own file
    service.write_text(f"{text}# changed\n")
    try:
        after = layers(cog_build.build(changed, "dsm-test:changed"))
        assert before[:-1] == after[:-1]
        assert before[-1] != after[-1]
        size, _ = steps("dsm-test:changed")[-1]
        assert size < 13_000_000  # the weights are 98 MB
    finally:
        docker("rmi", "--force", "dsm-test:changed", "dsm-test:changed-weights")
