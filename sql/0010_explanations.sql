-- What a search tells at its snapshots of how it came to be: how the scores are distributed in every
-- layer, and what each layer does to the residual stream. As many rows as there are snapshots; a
-- trainer that resumed says some again, and they are kept once.
create table explanation (
    search_id bigint not null references search on delete cascade,
    ordinal   int not null,
    step      bigint not null,
    tokens    bigint not null,
    ratio     double precision not null,
    body      jsonb not null,              -- influence, quantiles, heads, ffn, stem: lathe-train's event "explain"
    constraint one_explanation_per_architecture primary key (search_id, ordinal)
);

create function explanation_store() returns trigger
language plpgsql as $$
begin
    insert into explanation (search_id, ordinal, step, tokens, ratio, body)
    select s.search_id, (new.body ->> 'ordinal')::int, (new.body ->> 'step')::bigint,
           (new.body ->> 'tokens')::bigint, (new.body ->> 'ratio')::float8,
           new.body - '{ordinal,step,tokens,ratio,time}'::text[]
      from search s where s.search_id = substr(new.subject, 6)::bigint
    on conflict do nothing;
    return null;
end $$;
create trigger explanation_store after insert on event
    for each row when (new.kind = 'explain' and new.subject ~ '^srch_[0-9]+$')
    execute function explanation_store();

-- A search that recovers after pruning leaves a result, like a training.
create trigger search_result_artifacts after update of state on job
    for each row when (new.state = 'succeeded' and new.kind = 'search' and new.result ->> 'path' = 'result')
    execute function result_artifacts();
