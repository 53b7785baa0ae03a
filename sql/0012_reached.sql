-- How far every search has come, so that those that have lost a given share are found at once.
alter table search add column reached double precision not null default 0;  -- ratio of the newest architecture

update search s
   set reached = (select a.ratio from architecture a where a.search_id = s.search_id and a.ordinal = s.removals)
 where removals > 0;

-- A plane of searches by number and share: the nearest within a box come first, so a page of the first
-- searches that have lost so much costs the same whether few of them have, or all.
create index search_by_reached on search using gist (point(search_id, reached));

-- As in 0003, and how far it has come.
create or replace function batch_write(b batch) returns void
language plpgsql as $$
declare
    j constant job := b.j;
    s constant search := b.s;
begin
    update job
       set step = j.step, tokens = j.tokens, tokens_planned = j.tokens_planned,
           steps_planned = j.steps_planned, loss = j.loss, validation_loss = j.validation_loss,
           tokens_per_second = j.tokens_per_second, phase = j.phase, params = j.params,
           done_units = j.done_units, total_units = j.total_units, unit = j.unit,
           failures = j.failures, error = j.error, result = j.result,
           leased_until = j.leased_until, heartbeat_at = j.heartbeat_at, said = j.said
     where job_id = j.job_id;
    if s.search_id is null then return; end if;
    update search
       set removals = s.removals, hidden = s.hidden, q_heads = s.q_heads, kv_heads = s.kv_heads,
           ffn = s.ffn,
           reached = (select a.ratio from architecture a where a.search_id = s.search_id and a.ordinal = s.removals)
     where search_id = s.search_id and removals <> s.removals;
end $$;
