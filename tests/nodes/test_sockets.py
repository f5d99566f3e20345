from __future__ import annotations

import pytest

pytestmark = pytest.mark.host


def test_every_socket_has_a_type_of_its_own_with_the_packs_prefix(pack, host_modules):
    sockets = pack("nodes.sockets")
    kinds = [getattr(sockets, name) for name in ("Model", "References", "Motion", "Warped", "Fused")]
    names = [kind.io_type for kind in kinds]
    assert len(set(names)) == 5
    assert all(name.startswith("REENACT_") for name in names)
    assert kinds[0].Input("model").get_io_type() == "REENACT_MODEL"
