-- An export is of one thing that has weights; its files become artifacts when it has succeeded.
select worker_start('ada', 'here', 1, 8, '{cpu}') as ada;
select dataset_create('{"name": "text", "tokenizer": "bytes", "spec": {}, "document": {}}');
select model_create('{"name": "m", "spec": {}, "document": {}}');
select search_create('{"name": "s", "dataset_id": 1, "spec": {}, "options": {"criterion": {"name": "taylor"}}, "seed": 1, "context": 8,
    "source_shape": {}, "source_hash": "h", "totals": {"params": 12345, "params_non_embedding": 8, "flops_per_token": 60, "kv_bytes_per_token": 4},
    "hidden": 4, "head_dim": 2, "q_heads": [2], "kv_heads": [1], "ffn": [3], "document": {}}');
select run_create('{"name": "r", "architecture_id": 1, "init": "reinit", "dataset_id": 1, "shape": {}, "shape_hash": "h", "params": 10, "seed": 1, "budget_tokens": 100, "spec": {}, "document": {}}');
insert into architecture (search_id, ordinal, step, tokens, type, positions, params, params_non_embedding, flops_per_token,
                          kv_bytes_per_token, ratio, shape_hash, snapshot)
select 1, i, i, 1000 * i, 'ffn', '{0}', 12345 - i, 1, 1, 1, i / 10.0, 'h' || i, case when i % 2 = 0 then 'snapshots/' || i end
  from generate_series(1, 9) i;

-- nothing has weights yet but the snapshots
select subject_of(run, arch, model), weights_of(run, arch, model)
  from (values (1, null, null), (null, 1, null), (null, 3, null), (null, null, 1)) v (run, arch, model);
select kept_near(1, 5), kept_near(1, 0), kept_near(2, 0);
\set what '{"name": "e", "shape_hash": "h", "spec": {"targets": [{"format": "hf", "dtype": "float32"}, {"format": "shape", "dtype": "float32"}]}, "document": {"targets": []}, "needs_weights": '
select export_create((:'what' || 'true, "run_id": 1}')::jsonb);
select export_create((:'what' || 'true, "architecture_id": 2}')::jsonb);
select export_create((:'what' || 'false, "architecture_id": 2, "run_id": 1}')::jsonb);
select export_create((:'what' || 'false, "architecture_id": 2}')::jsonb);
select export_create((:'what' || 'true, "architecture_id": 3, "priority": 7}')::jsonb);
update job set tokens = 128000, validation_loss = 3.14159 where kind = 'train';
select job_move(job_id, 'starting', null, 1, '1 hour') is not null, job_move(job_id, 'succeeded', null) is not null
  from job where kind in ('train', 'import') order by job_id;
select export_create((:'what' || 'true, "run_id": 1}')::jsonb);
select export_create((:'what' || 'true, "model_id": 1}')::jsonb);
select job_id, subject, priority, model_path, document ? 'targets' as asked from job where kind = 'export' order by job_id;
select subject, key, value from job, jsonb_each_text(document -> 'card') where kind = 'export' and subject <> 'exp_1' order by job_id, key;

-- targets are what was asked until they are there; then files have numbers, sizes and checksums
select jsonb_pretty(export_targets(x.spec, j) -> 1) from export x join job j using (job_id) where export_id = 4;
update job set priority = 99 where subject = 'exp_4';
select job_id, jsonb_pretty(job_document(j, '/jobs', '/up') - 'card') from job_claim(1, '1 minute') j;
\set done '[{"event": "start"}, {"event": "progress", "done": 2, "total": 2, "unit": "targets"}, {"event": "done", "path": "result", "export": {"shape_hash": "h", "tokenizer": {"kind": "bytes", "sha256": "t"}, "targets": [{"format": "hf", "path": "hf-float32", "architecture": "LlamaForCausalLM", "params": 10, "params_stored": 12, "overhead": 0.2, "parity": {"mean_kl": 0.5}, "runtimes": [{"runtime": "vllm", "loads": true, "why": "so"}], "files": [{"name": "config.json", "bytes": 5, "sha256": "aa"}, {"name": "model.safetensors", "bytes": 7, "sha256": "bb"}]}, {"format": "shape", "path": "shape-float32", "architecture": "none", "params": 10, "params_stored": 10, "overhead": 0, "parity": null, "runtimes": [], "files": [{"name": "config.json", "bytes": 3, "sha256": "cc"}]}]}}]'
select job_id as j from job where subject = 'exp_4' \gset
select held, wish from job_ingest(:j, 1, 1, '1 minute', :'done');
select held, wish from job_ingest(:j, 1, 2, '1 minute', :'done');
select count(*) from artifact where subject like 'exp%';
select job_finish(:j, 1, 1, 'done', null);
select artifact_id, subject, path, name, bytes, sha256 from artifact where subject like 'exp%' order by artifact_id;
select jsonb_pretty(export_targets(x.spec, j)) from export x join job j using (job_id) where export_id = 4;
