-- What people name: files they brought, data sets, models, searches and all their architectures,
-- runs and comparisons. What a resource is doing is its job's business and stands there.

-- A file that a client sent; it lies in the uploads folder under its checksum.
create table upload (
    upload_id  bigint generated always as identity primary key,
    sha256     text not null,
    bytes      bigint not null,
    created_at timestamptz not null default now(),
    constraint a_checksum_is_64_hex_digits check (sha256 ~ '^[0-9a-f]{64}$'),
    constraint bytes_are_not_negative check (bytes >= 0)
);

-- Token shards with a held-out part. The counts are known when its job has succeeded.
create table dataset (
    dataset_id        bigint generated always as identity primary key,
    name              text not null,
    tokenizer         text not null,
    spec              jsonb not null,      -- as asked
    job_id            bigint not null unique references job,
    vocab_size        int,
    tokens            bigint,
    validation_tokens bigint,
    documents         bigint,
    bytes             bigint,
    created_at        timestamptz not null default now(),
    constraint name_has_1_to_200_characters check (length(name) between 1 and 200)
);

-- A model that was brought in. Its shape is known when its job has succeeded.
create table model (
    model_id   bigint generated always as identity primary key,
    name       text not null,
    spec       jsonb not null,
    job_id     bigint not null unique references job,
    shape      jsonb,
    shape_hash text,
    params     bigint,
    created_at timestamptz not null default now(),
    constraint name_has_1_to_200_characters check (length(name) between 1 and 200)
);

-- One pruning-aware pretraining run. The arrays are the widths of its layers now; every removal
-- narrows them, so the totals of an architecture are sums, not a replay.
create table search (
    search_id     bigint generated always as identity primary key,
    name          text not null,
    dataset_id    bigint not null references dataset,
    model_id      bigint references model,
    spec          jsonb not null,          -- as asked, defaults filled in
    options       jsonb not null,          -- what search_options_read reads
    seed          bigint not null,
    context       int not null,            -- tokens of a sequence: what costs are stated for
    source_shape  jsonb not null,
    source_hash   text not null,
    params_source bigint not null,
    job_id        bigint not null unique references job,
    removals      int not null default 0,  -- ordinal of the newest architecture
    hidden        int not null,
    head_dim      int not null,
    q_heads       int[] not null,
    kv_heads      int[] not null,
    ffn           int[] not null,
    created_at    timestamptz not null default now(),
    constraint name_has_1_to_200_characters check (length(name) between 1 and 200),
    constraint every_layer_has_all_widths check (
        cardinality(q_heads) = cardinality(kv_heads) and cardinality(q_heads) = cardinality(ffn)),
    constraint nothing_is_pruned_to_nothing check (
        hidden > 0 and 0 < all (q_heads) and 0 < all (kv_heads) and 0 < all (ffn))
) with (fillfactor = 70);
create index search_of_dataset on search (dataset_id);

-- A shape with provenance: the source (ordinal 0) and what every removal left.
create table architecture (
    architecture_id bigint generated always as identity primary key,
    search_id    bigint not null references search on delete cascade,
    ordinal      int not null,
    step         bigint not null,
    tokens       bigint not null,
    type         text,                     -- of what was removed; null for the source
    unit         text,                     -- 'query' when heads were cut by query head
    layer        int,                      -- -1: every layer
    positions    int[],                    -- where it stood in the model as it was; -1: frozen layer
    indices      int[],                    -- what it is called in the source
    min_heads    double precision,         -- the lowest score of every type at the decision
    min_ffn      double precision,
    min_stem     double precision,
    runner_up    double precision,
    params       bigint not null,
    params_non_embedding bigint not null,
    flops_per_token bigint not null,
    kv_bytes_per_token bigint not null,
    ratio        double precision not null, -- share of the source's parameters that is gone
    shape_hash   text not null,
    snapshot     text,                     -- where its weights lie in the job's folder, if kept
    snapshot_sha256 text,
    at           timestamptz not null default now(),
    constraint one_architecture_per_removal unique (search_id, ordinal),
    constraint a_removal_removes_something check (
        (ordinal = 0) = (type is null) and (ordinal = 0) = (positions is null)),
    constraint type_is_known check (type in ('heads', 'ffn', 'stem')),
    constraint something_is_left check (params > 0),
    constraint ratio_is_a_share check (ratio >= 0 and ratio < 1)
);
create index architecture_by_ratio on architecture (search_id, ratio, ordinal);
create index architecture_by_params on architecture (params, architecture_id);
create index architecture_kept on architecture (search_id, ordinal) where snapshot is not null;
create index architecture_by_hash on architecture (shape_hash);

-- Training of one shape, from an architecture's weights or from scratch.
create table run (
    run_id          bigint generated always as identity primary key,
    name            text not null,
    architecture_id bigint references architecture,
    init            text not null,
    dataset_id      bigint not null references dataset,
    shape           jsonb not null,
    shape_hash      text not null,
    params          bigint not null,
    seed            bigint not null,
    budget_tokens   bigint not null,
    spec            jsonb not null,
    job_id          bigint not null unique references job,
    created_at      timestamptz not null default now(),
    constraint name_has_1_to_200_characters check (length(name) between 1 and 200),
    constraint init_is_known check (init in ('inherit', 'reinit')),
    constraint weights_are_inherited_from_somewhere check (init <> 'inherit' or architecture_id is not null),
    constraint a_budget_has_tokens check (budget_tokens > 0)
);
create index run_of_architecture on run (architecture_id);

-- Arms x seeds under one budget. Its state follows its runs'.
create table comparison (
    comparison_id   bigint generated always as identity primary key,
    name            text not null,
    architecture_id bigint not null references architecture,
    dataset_id      bigint not null references dataset,
    budget_rule     text not null,
    budget_tokens   bigint not null,
    spec            jsonb not null,
    state           job_state not null default 'queued',
    created_at      timestamptz not null default now(),
    finished_at     timestamptz,
    constraint name_has_1_to_200_characters check (length(name) between 1 and 200),
    constraint budget_rule_is_known check (budget_rule in ('train_matched', 'pipeline_matched')),
    constraint a_budget_has_tokens check (budget_tokens > 0)
);
create index comparison_of_architecture on comparison (architecture_id);

create table comparison_arm (
    comparison_id bigint not null references comparison on delete cascade,
    arm           text not null,
    seed          bigint not null,
    run_id        bigint not null unique references run,
    primary key (comparison_id, arm, seed),
    constraint arm_is_known check (arm in ('inherit', 'reinit', 'human'))
);

-- A training step as it was reported, and the loss on held-out data as it was measured.
create table metric (
    job_id        bigint not null references job on delete cascade,
    step          bigint not null,
    tokens        bigint not null,
    at            timestamptz not null,
    loss          double precision,
    learning_rate double precision,
    grad_norm     double precision,
    tokens_per_second double precision,
    params        bigint,
    primary key (job_id, step)
);
create table validation (
    job_id bigint not null references job on delete cascade,
    step   bigint not null,
    tokens bigint not null,
    at     timestamptz not null,
    loss   double precision,
    primary key (job_id, step)
);

-- The state of a whole by those of its parts: busy while any part is, failed if any failed.
create function state_of_parts(states job_state[]) returns job_state
language sql immutable as $$
    select case
        when 'running' = any (states) or 'starting' = any (states) then 'running'
        when 'pausing' = any (states) then 'pausing'
        when 'queued' = any (states) then
            case when 'succeeded' = any (states) then 'running' else 'queued' end
        when 'paused' = any (states) then 'paused'
        when 'failed' = any (states) then 'failed'
        when 'cancelled' = any (states) then 'cancelled'
        else 'succeeded' end::job_state
$$;

create function comparison_follow(p_comparison_id bigint) returns void
language plpgsql as $$
declare
    now_is job_state;
    c comparison;
begin
    perform from comparison where comparison_id = p_comparison_id for update;
    select state_of_parts(array_agg(j.state)) into now_is
      from comparison_arm a join run r using (run_id) join job j using (job_id)
     where a.comparison_id = p_comparison_id;
    update comparison
       set state = now_is, finished_at = case when is_over(now_is) then now() end
     where comparison_id = p_comparison_id and state <> now_is
    returning * into c;
    if found then
        perform event_add('cmp_' || c.comparison_id, 'state',
                          jsonb_build_object('id', 'cmp_' || c.comparison_id, 'state', c.state));
    end if;
end $$;

-- What follows a change of a job's state for what hangs on it.
create or replace function job_moved(j job) returns void
language plpgsql as $$
declare waiting record;
begin
    if j.kind = 'dataset' and j.state = 'succeeded' then
        update dataset d
           set vocab_size = (j.result ->> 'vocab_size')::int,
               tokens = (j.result ->> 'tokens')::bigint,
               validation_tokens = (j.result ->> 'validation_tokens')::bigint,
               documents = (j.result ->> 'documents')::bigint,
               bytes = (j.result ->> 'bytes')::bigint
         where d.job_id = j.job_id;
        notify lathe_job;
    elsif j.kind = 'import' and j.state = 'succeeded' then
        update model m
           set shape = j.result -> 'shape', shape_hash = j.result ->> 'shape_hash',
               params = (j.result ->> 'params')::bigint
         where m.job_id = j.job_id;
    elsif j.kind = 'dataset' and is_over(j.state) then
        for waiting in select job_id from job
                        where data_job_id = j.job_id and state = 'queued' order by job_id loop
            perform job_move(waiting.job_id, 'failed',
                             'its data set ' || j.subject || ' ' || j.state || coalesce(': ' || j.reason, ''));
        end loop;
    elsif j.kind = 'train' then
        perform comparison_follow(a.comparison_id)
           from comparison_arm a join run r using (run_id) where r.job_id = j.job_id;
    end if;
end $$;
