-- How what a trainer says becomes rows. One batch of its lines is one transaction, and storing a
-- line twice changes nothing: steps and validations are known by their step, removals by their
-- ordinal, so a trainer that resumed from a checkpoint may say again what it said before.

-- The widths of a search after a removal. Entries are ordered by layer, one each (one per KV head
-- where heads are cut by query head), -1 in a frozen layer; the stem has one for all layers.
create function narrowed(s search, p_line jsonb) returns search
language plpgsql as $$
declare
    what constant text := p_line ->> 'type';
    by_query constant boolean := coalesce(p_line ->> 'unit' = 'query', false);
    only_layer constant int := coalesce((p_line ->> 'layer')::int, -1) + 1;
    places constant int[] := array(select x::int from jsonb_array_elements_text(p_line -> 'position') x);
    n int := 1;  -- the entry that comes next
begin
    if what = 'stem' then
        s.hidden := s.hidden - 1;
        n := 2;
    else
        for l in 1 .. cardinality(s.ffn) loop
            continue when only_layer > 0 and l <> only_layer;
            if coalesce(places[n], -1) < 0 then
                null;
            elsif what = 'ffn' then
                s.ffn[l] := s.ffn[l] - 1;
            elsif by_query then
                s.q_heads[l] := s.q_heads[l] - s.kv_heads[l];
            else
                s.q_heads[l] := s.q_heads[l] - s.q_heads[l] / s.kv_heads[l];
                s.kv_heads[l] := s.kv_heads[l] - 1;
            end if;
            n := n + case when by_query then s.kv_heads[l] else 1 end;
        end loop;
    end if;
    if n <> cardinality(places) + 1 then
        raise exception 'removal % names % positions, not %',
            p_line ->> 'ordinal', cardinality(places), n - 1 using errcode = 'LT400';
    end if;
    return s;
end $$;

-- A batch works on one copy of the job's row and of the search's, and writes each once at its end:
-- a row that is updated thousands of times in one transaction gets slower with every time.
create type batch as (j job, s search);

-- The next row of a trajectory. Not news when it is known already; a gap or another removal under a
-- known number is an error.
create function removal_store(inout b batch, p_line jsonb, out is_news boolean)
language plpgsql as $$
declare
    s search := b.s;
    n_ordinal constant int := (p_line ->> 'ordinal')::int;
    n_params constant bigint := (p_line ->> 'params')::bigint;
    embedding bigint;
    known text;
begin
    is_news := false;
    if n_ordinal <= s.removals then
        select shape_hash into known
          from architecture where search_id = s.search_id and ordinal = n_ordinal;
        if known <> p_line ->> 'shape_hash' then
            raise exception 'removal % was said before with shape %, now with %',
                n_ordinal, known, p_line ->> 'shape_hash' using errcode = 'LT400';
        end if;
        return;
    elsif n_ordinal <> s.removals + 1 then
        raise exception 'removal % came after removal %', n_ordinal, s.removals using errcode = 'LT400';
    end if;

    s := narrowed(s, p_line);
    s.removals := n_ordinal;
    embedding := (s.source_shape ->> 'vocab_size')::bigint * s.hidden
        * case when (s.source_shape ->> 'tie_word_embeddings')::boolean then 1 else 2 end;
    insert into architecture (search_id, ordinal, step, tokens, type, unit, layer, positions, indices,
            min_heads, min_ffn, min_stem, runner_up, params, params_non_embedding,
            flops_per_token, kv_bytes_per_token, ratio, shape_hash)
    select s.search_id, n_ordinal, (p_line ->> 'step')::bigint, (p_line ->> 'tokens')::bigint,
           p_line ->> 'type', p_line ->> 'unit', (p_line ->> 'layer')::int,
           array(select x::int from jsonb_array_elements_text(p_line -> 'position') x),
           array(select x::int from jsonb_array_elements_text(p_line -> 'index') x),
           (p_line #>> '{min_score,heads}')::float8, (p_line #>> '{min_score,ffn}')::float8,
           (p_line #>> '{min_score,stem}')::float8, (p_line ->> 'runner_up')::float8,
           n_params, n_params - embedding,
           6 * (n_params + (select sum(q) from unnest(s.q_heads) q) * s.head_dim * s.context),
           (select sum(kv) from unnest(s.kv_heads) kv) * s.head_dim * 4,
           1 - n_params::float8 / s.params_source, p_line ->> 'shape_hash';
    b.s := s;
    b.j.params := n_params;
    is_news := true;
end $$;

create function snapshot_store(p_search_id bigint, p_line jsonb) returns boolean
language plpgsql as $$
begin
    update architecture
       set snapshot = p_line ->> 'path', snapshot_sha256 = p_line ->> 'sha256'
     where search_id = p_search_id and ordinal = (p_line ->> 'ordinal')::int
       and (snapshot is null or snapshot <> p_line ->> 'path');
    return found;
end $$;

create function step_store(inout j job, p_line jsonb, out is_news boolean)
language plpgsql as $$
begin
    j.step := p_line ->> 'step';
    j.tokens := p_line ->> 'tokens';
    j.loss := p_line ->> 'loss';
    j.tokens_per_second := p_line ->> 'tokens_per_second';
    j.phase := p_line ->> 'phase';
    j.params := coalesce((p_line ->> 'params')::bigint, j.params);
    insert into metric (job_id, step, tokens, at, loss, learning_rate, grad_norm, tokens_per_second, params)
    values (j.job_id, j.step, j.tokens, coalesce((p_line ->> 'time')::timestamptz, now()), j.loss,
            (p_line ->> 'lr')::float8, (p_line ->> 'grad_norm')::float8, j.tokens_per_second,
            (p_line ->> 'params')::bigint)
    on conflict do nothing;
    is_news := found;
end $$;

create function validation_store(inout j job, p_line jsonb, out is_news boolean)
language plpgsql as $$
begin
    j.validation_loss := p_line ->> 'loss';
    insert into validation (job_id, step, tokens, at, loss)
    values (j.job_id, (p_line ->> 'step')::bigint, (p_line ->> 'tokens')::bigint,
            coalesce((p_line ->> 'time')::timestamptz, now()), j.validation_loss)
    on conflict do nothing;
    is_news := found;
end $$;

-- Writes back what a batch changed of its job and its search.
create function batch_write(b batch) returns void
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
           ffn = s.ffn
     where search_id = s.search_id and removals <> s.removals;
end $$;

-- A trainer has read its job and begins.
create function start_store(inout b batch, p_line jsonb)
language plpgsql as $$
declare
    j job := b.j;
begin
    j.tokens_planned := p_line ->> 'tokens_planned';
    j.steps_planned := p_line ->> 'steps_planned';
    j.params := coalesce((p_line ->> 'params')::bigint, j.params);
    b.j := j;
    if j.state = 'starting' then
        perform batch_write(b);
        b.j := job_move(j.job_id, 'running', null);
    end if;
end $$;

-- One line of a trainer. It is news, and so becomes an event, unless it was said before.
create function line_store(inout b batch, p_line jsonb, out is_news boolean)
language plpgsql as $$
declare
    what constant text := p_line ->> 'event';
    j job := b.j;
    stored record;
begin
    is_news := true;
    case what
    when 'heartbeat' then
        is_news := false;
    when 'start' then
        b := start_store(b, p_line);
        return;
    when 'step' then
        stored := step_store(j, p_line);
        j := stored.j;
        is_news := stored.is_news;
    when 'validation' then
        stored := validation_store(j, p_line);
        j := stored.j;
        is_news := stored.is_news;
    when 'removal' then
        if (b.s).search_id is null then return; end if;
        stored := removal_store(b, p_line);
        b := stored.b;
        is_news := stored.is_news;
        return;
    when 'snapshot' then
        is_news := snapshot_store((b.s).search_id, p_line);
    when 'checkpoint' then
        j.failures := 0;
    when 'progress' then
        j.done_units := p_line ->> 'done';
        j.total_units := p_line ->> 'total';
        j.unit := p_line ->> 'unit';
    when 'done' then
        j.result := p_line - 'event' - 'seq' - 'time';
        j.loss := coalesce((p_line ->> 'loss')::float8, j.loss);
        j.validation_loss := coalesce((p_line ->> 'validation_loss')::float8, j.validation_loss);
    when 'error' then
        j.error := p_line - 'event' - 'seq' - 'time';
    else
        null;  -- a newer trainer may say more; pass it on
    end case;
    b.j := j;
end $$;

-- Stores a batch for an attempt that still holds its lease, and renews the lease. `held` is false,
-- and nothing is stored, when it does not; `wish` says what people want of the job now. p_said is the
-- place in the journal after these lines, kept with them so that none is lost and none read twice.
create function job_ingest(p_job_id bigint, p_worker_id bigint, p_attempt int, p_lease interval,
                           p_lines jsonb, p_said bigint default null,
                           out held boolean, out wish text)
language plpgsql as $$
declare
    b batch;
    j job;
    s search;
    line jsonb;
    stored record;
begin
    perform event_lock();
    held := job_held(p_job_id, p_worker_id, p_attempt);
    if not held then return; end if;
    select * into j from job where job_id = p_job_id;
    wish := j.wish;
    j.leased_until := now() + p_lease;
    j.heartbeat_at := now();
    j.said := coalesce(p_said, j.said);
    select * into s from search q where q.job_id = p_job_id for update;
    b := (j, s)::batch;
    for line in select * from jsonb_array_elements(p_lines) loop
        stored := line_store(b, line);
        b := stored.b;
        if stored.is_news then
            perform event_add(j.subject, line ->> 'event', line - 'event' - 'seq');
        end if;
    end loop;
    perform batch_write(b);
end $$;
