"""Matches of one rule on one source -> events: begin, update, end.

How the pipeline uses it (one RuleRunner per rule x source):

    runner = RuleRunner("lane-east-clear", "fire_lane", rule, "east", zones, new_id, fps=5.0)
    runner.restore(open_events_of_this_rule_and_source, time, utc)     # once, after a restart or a new configuration
    events = runner.step(scene)        # EVERY scene of the source: pictures, inferred or not, and sounds
    events = runner.idle(time, utc)    # about once a second while no frame arrives
    events = runner.end_all(time, utc, "config")                       # the rule is being removed
    runner.open                        # -> tuple[Event, ...]: what `active/{rule}/{source}` shows
    runner.occupancy                   # -> Mapping | None: what `occupancy/{source}` shows (parking only)
    runner.counts                      # -> Mapping[str, Mapping[str, int]] | None (line_crossing only)

A runner ignores scenes of the other sense (a sound rule those without `sounds`, all others those with).
In an inferred scene only tracks that were seen count; in one that is not, those seen at the last inference.
Scenes must come in order of time; one that is not later than the last is ignored.
`idle` may be called at any time; a silence up to 30 s freezes all timers, a longer one holds the episodes (they go on
when the object is found where it was), and after 60 s they end as `source_lost`.
"""
