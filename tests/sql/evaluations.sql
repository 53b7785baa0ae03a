-- Results of an evaluation become rows, once a task, for the attempt that holds the lease; measured
-- times are found beside every architecture of that shape.
select worker_start('ada', 'mill', 1, 8, '{cpu}') as ada;
select dataset_create('{"name": "text", "tokenizer": "bytes", "spec": {}, "document": {}}');
select search_create('{"name": "s", "dataset_id": 1, "spec": {}, "options": {}, "seed": 1, "context": 8,
    "source_shape": {}, "source_hash": "h", "totals": {"params": 9, "params_non_embedding": 8, "flops_per_token": 60, "kv_bytes_per_token": 4},
    "hidden": 4, "head_dim": 2, "q_heads": [2], "kv_heads": [1], "ffn": [3], "document": {}}');
insert into architecture (search_id, ordinal, step, tokens, type, positions, params, params_non_embedding, flops_per_token,
                          kv_bytes_per_token, ratio, shape_hash, snapshot)
select 1, i, i, i, 'ffn', '{0}', 9 - i, 1, 1, 1, i / 10.0, 'h' || i / 2, case when i = 2 then 'snapshots/2' end
  from generate_series(1, 4) i;
\set speed '"tasks": [{"name": "fast", "form": "latency", "repeats": 2}]'
\set arc '"tasks": [{"name": "arc_easy", "form": "arc", "limit": 0, "files": [{"path": "aa"}, {"path": "bb"}]}, {"name": "fast", "form": "latency"}]'
\set what '{"name": "e", "priority": 0, "spec": {' :speed '}, "document": {"threads": 1, ' :speed '}'
\set more '{"name": "e", "priority": 1, "spec": {' :arc '}, "document": {"threads": 1, ' :arc '}'
select evaluation_create((:'more' || ', "shape_hash": "h1", "needs_weights": true, "architecture_id": 2}')::jsonb);
select evaluation_create((:'what' || ', "shape_hash": "h0", "needs_weights": false, "architecture_id": 2}')::jsonb);
select evaluation_create((:'more' || ', "shape_hash": "h1", "needs_weights": true, "architecture_id": 3}')::jsonb);
select job_id as j, jsonb_pretty(job_document(j, '/jobs', '/up')) as document from job_claim(1, '1 minute') j \gset
\echo :document
select jsonb_pretty(job_document(j, '/jobs', '/up')) as document from job_claim(1, '1 minute') j;

\set first '{"event": "evaluation", "seq": 2, "task": "arc_easy", "form": "arc", "items": 5, "metrics": {"acc": 0.5, "acc_stderr": 0.1}, "file_sha256": ["a", "b"]}'
\set speed '{"event": "evaluation", "task": "fast", "form": "latency", "items": 5, "metrics": {"threads": 2, "prompt_tokens": 16, "generate_tokens": 8, "ms_per_token": 1.5, "decode_tokens_per_second": 666.6, "prefill_tokens_per_second": 9000, "time_to_first_token_ms": 3}, "file_sha256": []}'
update job set failures = 3 where job_id = :j;
select held, wish from job_ingest(:j, 1, 1, '1 minute', ('[{"event": "start"}, {"event": "progress", "done": 1, "total": 9, "unit": "requests"}, ' || :'first' || ']')::jsonb);
select failures, done_units, total_units, unit from job where job_id = :j;
-- said again after a resume it is no news; with other numbers it is; a lost attempt is not heard
select held from job_ingest(:j, 1, 1, '1 minute', ('[' || :'first' || ', ' || :'first' || ']')::jsonb);
select held from job_ingest(:j, 1, 1, '1 minute', ('[' || replace(:'first', '0.5', '0.6') || ', ' || :'speed' || ']')::jsonb);
select held from job_ingest(:j, 1, 7, '1 minute', ('[' || replace(:'first', '0.5', '0.9') || ']')::jsonb);
select kind, body from event where subject = 'eval_2' and kind = 'evaluation' order by event_id;
select evaluation_id, task, form, items, metrics, file_sha256, host from evaluation_result order by 1, 2;
select jsonb_path_query(evaluation_results(e), '$[*].task') from evaluation e where evaluation_id = 2;
select job_ingest(:j, 1, 1, '1 minute', '[{"event": "evaluation", "task": "arc_easy", "form": "arc", "items": 1}]');

-- every architecture of the shape has the newest time
select * from architecture_latencies() order by 1;
select held from job_ingest(:j, 1, 1, '1 minute', ('[' || replace(:'speed', '1.5', '1.25') || ']')::jsonb);
select * from architecture_latencies() order by 1;
select shape_hash, task, host, backend, threads, prompt_tokens, generate_tokens, prefill_tokens_per_second as prefill,
       time_to_first_token_ms as first, ms_per_token as ms, decode_tokens_per_second as decode from shape_latency;

-- finished files are artifacts; written again after a kill they have another checksum; never outside
\set file '{"event": "file", "path": "result/results.json", "bytes": 9, "sha256": "aa"}'
select held from job_ingest(:j, 1, 1, '1 minute', ('[' || :'file' || ', ' || :'file' || ', ' || replace(:'file', 'results.json', 'samples_arc_easy.jsonl') || ']')::jsonb);
select held from job_ingest(:j, 1, 1, '1 minute', ('[' || replace(:'file', 'aa', 'bb') || ', {"event": "done", "path": "result"}]')::jsonb);
select job_ingest(:j, 1, 1, '1 minute', ('[' || replace(:'file', 'result/', '../') || ']')::jsonb);
select job_finish(:j, 1, 1, 'done', null);
select artifact_id, subject, path, name, bytes, sha256 from artifact order by artifact_id;
select files_of_job(:j) -> 0;
select scores_of(null, 3, null);
