"""What systemctl prints is read as it is meant."""

from __future__ import annotations

from ansible_collections.steelyard.stack.plugins.module_utils import systemd_model


def test_systemctl_show_of_several_units() -> None:
    text = (
        "Id=app@8000.service\nActiveState=active\nMainPID=618\nActiveEnterTimestamp=@1795247164\n\n"
        "Id=app.slice\nMemoryMax=infinity\nActiveState=inactive\nDescription=a=b\n"
    )
    found = systemd_model.show_blocks(text)
    assert found["app@8000.service"]["MainPID"] == "618"
    assert found["app.slice"]["Description"] == "a=b"
    assert systemd_model.unix_time(found["app@8000.service"]["ActiveEnterTimestamp"]) == 1795247164.0
    assert systemd_model.unix_time("") == 0.0


def test_spans_of_systemd() -> None:
    assert systemd_model.seconds("1min 30s", 5) == 90
    assert systemd_model.seconds("500ms", 5) == 0.5
    assert systemd_model.seconds("2s", 5) == 2
    assert systemd_model.seconds("infinity", 5) == 5
