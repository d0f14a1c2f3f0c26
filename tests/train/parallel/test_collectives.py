import pytest

from jaxnn.train.parallel import Collective, collectives

# Each way that JAX 0.10 and 0.12 write it, on processors and on accelerators.
HLO = """
%body (p: f32[4]) -> f32[4] {
  %g = f32[8,4]{1,0} all-gather(%p), replica_groups=[4,2]<=[2,4]T(1,0), dimensions={0}
  ROOT %s = (f32[2]{0}, /*index=1*/bf16[3]{0}) all-reduce(%a, %b), replica_groups={{0,1,2,3}}
}
ENTRY %main (p: f32[4]) -> f32[4] {
  %w = f32[4] while(%p), body=%body, backend_config={"known_trip_count":{"n":"5"}}
  %b = s8[4] conditional(%i, %p, %p), branch_computations={%one, %two}
  %e = (f32[2,4]{1,0}, f32[2,4]{1,0}) all-to-all(%x, %y), replica_groups=mesh['a'=4,'b'=2] {'b'}
  %r = f32[2]{0} reduce-scatter(%x), replica_groups={{0,1,2,3},{4,5,6,7}}
  %t = (f32[3]{0:T(128)}, f32[6]{0:T(128)}) all-gather-start(%x), replica_groups=[1,2]<=[2]
  %d = f32[6]{0} all-gather-done(%t)
}
%one (p: f32[4]) -> s8[4] {
  %c = s8[4]{0} collective-permute(%p), source_target_pairs={{0,1},{1,2}}
}
%two (p: f32[4]) -> s8[4] {
  %c = pred[] add(%p)
}
"""


def test_reads_every_way_it_is_written():
    assert collectives(HLO) == (
        Collective("all-to-all", 64, 2, 1),
        Collective("reduce-scatter", 32, 4, 1),
        Collective("all-gather", 24, 2, 1),
        Collective("all-gather", 128, 2, 5),
        Collective("all-reduce", 14, 4, 5),
        Collective("collective-permute", 4, 3, 1),
    )
    sent = [c.sent for c in collectives(HLO)]
    assert sent == pytest.approx([32, 24, 12, 320, 5 * 2 * 14 * 3 / 4, 4])


def test_nothing_is_sent_where_there_is_nothing():
    assert collectives("") == ()
