"""Installing, upgrading and removing on the machine."""

import pytest

from tests.systemd.conftest import Service, prepare
from tests.systemd.nspawn import Machine

pytestmark = pytest.mark.systemd


def test_files_belong_to_root_and_are_not_writable(machine: Machine) -> None:
    loose = machine.run("find /opt/smartbox ! -type l \\( ! -user root -o -perm /022 \\) | head")
    assert loose == ""
    assert machine.run("stat -c '%a %U:%G' /etc/smartbox /etc/smartbox/smartbox.yaml /etc/smartbox/secrets").split(
        "\n"
    )[:3] == ["750 root:smartbox", "640 root:smartbox", "700 root:root"]


def test_the_example_configuration_is_good_and_the_shipped_model_whole(machine: Machine) -> None:
    machine.run("smartbox check -c /opt/smartbox/share/deploy/smartbox.example.yaml")
    assert "every file is whole" in machine.run("smartbox models verify lrssd-park")


def test_nothing_points_to_where_it_was_built(machine: Machine) -> None:
    assert machine.run("grep -rlI venv.new /opt/smartbox/venv | head -3", check=False) == ""
    assert machine.run("ls /opt/smartbox").split() == ["models", "share", "venv"]


def test_the_shipped_model_runs_in_the_sandbox(machine: Machine, service: Service) -> None:
    """LRSSD on the simulated camera of the example configuration, its broker away."""
    machine.run("cp /opt/smartbox/share/deploy/smartbox.example.yaml /etc/smartbox/smartbox.yaml")
    service.start()
    machine.wait_until("the camera is online", "systemctl show -p StatusText smartbox | grep -q '1/1 sources'", 60)
    assert "is failing" not in machine.journal()
    assert "Traceback" not in machine.journal()


def test_upgrade_restarts_and_keeps_what_is_yours(machine: Machine, service: Service) -> None:
    machine.run("cp /opt/smartbox/share/deploy/smartbox.example.yaml /etc/smartbox/smartbox.yaml")
    machine.run("echo '# mine' >> /etc/smartbox/smartbox.yaml")
    service.start()
    pid = machine.main_pid()
    prepare(machine)
    machine.wait_until("runs again", "systemctl is-active --quiet smartbox", 30)
    assert machine.main_pid() != pid
    machine.run("/opt/smartbox/venv/bin/python -c 'import smartbox_hang'")
    assert machine.run("tail -n1 /etc/smartbox/smartbox.yaml").strip() == "# mine"


def test_uninstall_keeps_data_and_purge_does_not(machine: Machine, service: Service) -> None:
    """Last in this file: afterwards it is installed anew."""
    service.start()
    machine.run("make -C /src uninstall")
    gone = machine.try_run("ls -d /opt/smartbox /usr/local/bin/smartbox /usr/local/lib/systemd/system/smartbox.service")
    assert gone.stdout == ""
    assert machine.run("pgrep -u smartbox", check=False) == ""
    machine.run("test -s /etc/smartbox/smartbox.yaml && ls /var/lib/smartbox/outbox*")
    machine.run("make -C /src uninstall PURGE=1")
    left = machine.try_run("ls -d /etc/smartbox /var/lib/smartbox; getent passwd smartbox")
    assert left.stdout == ""
    again = prepare(machine)
    assert "wrote the example configuration" in again
    assert "the configuration is good" in again
