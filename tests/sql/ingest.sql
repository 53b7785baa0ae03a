-- A trainer's lines become rows, once, in order, and every line that is news becomes an event.
select worker_start('ada', 'here', 1, 1, '{cpu}') as ada;
insert into dataset (name, tokenizer, spec, job_id) values ('text', 'bytes', '{}', job_add('dataset', '{}'));
select job_name(1, 'data_1');
insert into search (name, dataset_id, spec, options, seed, context, source_shape, source_hash, params_source,
                    job_id, hidden, head_dim, q_heads, kv_heads, ffn)
values ('s', 1, '{}', '{}', 1, 16, '{"vocab_size": 10, "tie_word_embeddings": true}', 'h0', 1000,
        job_add('search', '{"seed": 1}', 0, 1), 8, 4, '{4,2}', '{2,2}', '{12,10}');
insert into architecture (search_id, ordinal, step, tokens, params, params_non_embedding, flops_per_token,
                          kv_bytes_per_token, ratio, shape_hash) values (1, 0, 0, 0, 1000, 920, 1, 1, 0, 'h0');
select job_name(2, 'srch_1');

-- a search waits for its data
select job_id from job_claim(1, '1 minute');
select job_id from job_claim(1, '1 minute');
select job_ingest(1, 1, 1, '1 minute', '[
    {"event": "start", "seq": 1, "tokens_planned": null},
    {"event": "progress", "seq": 2, "done": 5, "total": 10, "unit": "bytes"},
    {"event": "done", "seq": 3, "tokens": 90, "validation_tokens": 10, "documents": 3, "bytes": 100, "vocab_size": 256}]');
select job_finish(1, 1, 1, 'done', null);
select tokens, validation_tokens, documents, bytes, vocab_size from dataset;
select job_id, jsonb_pretty(job_document(j, '/jobs', '/uploads')) as document from job_claim(1, '1 minute') j;

-- steps, removals of every type, a snapshot; two of each said twice
\set steps '{"event": "step", "step": 1, "tokens": 16, "loss": 3.5, "lr": 0.1, "grad_norm": 1, "tokens_per_second": 9, "phase": "prune", "params": 1000, "time": "2026-01-01T00:00:00Z"}, {"event": "validation", "step": 1, "tokens": 16, "loss": 3.25, "time": "2026-01-01T00:00:01Z"}'
\set heads '{"event": "removal", "ordinal": 1, "step": 1, "tokens": 16, "type": "heads", "layer": -1, "position": [1, 0], "index": [1, 0], "min_score": {"heads": 0.5, "ffn": 1, "stem": null}, "runner_up": 0.75, "params": 900, "shape_hash": "h1"}'
\set ffn '{"event": "removal", "ordinal": 2, "step": 2, "tokens": 32, "type": "ffn", "layer": 1, "position": [9], "index": [9], "min_score": {"heads": 0.5, "ffn": 0.25, "stem": null}, "runner_up": null, "params": 876, "shape_hash": "h2"}'
\set stem '{"event": "removal", "ordinal": 3, "step": 3, "tokens": 48, "type": "stem", "layer": -1, "position": [0], "index": [7], "min_score": {"heads": null, "ffn": null, "stem": 0.1}, "runner_up": null, "params": 700, "shape_hash": "h3"}'
\set kept '{"event": "snapshot", "ordinal": 2, "step": 2, "tokens": 32, "ratio": 0.1, "path": "snapshots/1", "sha256": "aa"}'
select held, wish from job_ingest(2, 1, 1, '1 minute', ('[{"event": "start", "tokens_planned": 64, "params": 1000}, ' || :'steps' || ', ' || :'heads' || ']')::jsonb);
select held, wish from job_ingest(2, 1, 1, '1 minute', ('[' || :'steps' || ',' || :'heads' || ',' || :'ffn' || ',' || :'kept' || ',' || :'kept' || ',' || :'stem' || ', {"event": "heartbeat"}]')::jsonb);
select step, tokens, loss, learning_rate, at from metric;
select step, loss from validation;
select ordinal, type, layer, positions, indices, min_heads, min_ffn, min_stem, params, params_non_embedding as non_emb,
       flops_per_token as flops, kv_bytes_per_token as kv, round(ratio::numeric, 3) as ratio, shape_hash, snapshot
  from architecture order by ordinal;
select removals, hidden, q_heads, kv_heads, ffn, round(reached::numeric, 3) as reached from search;
select state, step, loss, validation_loss, params, tokens_planned from job where job_id = 2;

-- a gap, another removal under a known number, widths below one, too few places: refused, and nothing is stored
select job_ingest(2, 1, 1, '1 minute', replace(:'stem', '"ordinal": 3', '"ordinal": 5')::jsonb || '[]');
select job_ingest(2, 1, 1, '1 minute', replace(:'stem', 'h3', 'h9')::jsonb || '[]');
select job_ingest(2, 1, 1, '1 minute', replace(:'heads', '"ordinal": 1', '"ordinal": 4')::jsonb || '[]');
select job_ingest(2, 1, 1, '1 minute', replace(replace(:'heads', '"ordinal": 1', '"ordinal": 4'), '[1, 0]', '[1]')::jsonb || '[]');
select job_ingest(2, 1, 1, '1 minute', '[{"event": "step", "step": null}]');
select event_id, subject, kind, body ->> 'state' as state, body ->> 'step' as step from event order by event_id;

-- heads by query head, and a frozen layer: widths after one removal each of {4,6} over {2,3}
select q_heads, kv_heads, ffn
  from (values ('{"type": "heads", "unit": "query", "layer": -1, "position": [0,2,0,2,4]}'::jsonb),
               ('{"type": "heads", "unit": "query", "layer": 1, "position": [0,2,4]}'),
               ('{"type": "heads", "layer": -1, "position": [-1,2]}'),
               ('{"type": "ffn", "layer": -1, "position": [3,-1]}')) v (line),
       lateral narrowed(jsonb_populate_record(null::search,
           '{"hidden": 8, "q_heads": [4,6], "kv_heads": [2,3], "ffn": [9,9]}'), v.line);

-- a data set that fails takes what waits for it along
insert into dataset (name, tokenizer, spec, job_id) values ('more', 'bytes', '{}', job_add('dataset', '{}'));
select job_name(3, 'data_2');
select job_name(job_add('search', '{}', 0, 3), 'srch_2');
select job_id from job_claim(1, '1 minute');
select job_ingest(3, 1, 1, '1 minute', '[{"event": "error", "message": "no text"}]');
select job_finish(3, 1, 1, 'bad_input', 'exit 2');
select subject, state, reason from job where job_id > 2 order by job_id;
