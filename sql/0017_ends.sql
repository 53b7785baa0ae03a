-- A model's folder says what begins and ends a text, too.
create or replace function artifacts_add(p_subject text, p_job_id bigint, p_folder text, p_sha256 text) returns void
language sql as $$
    insert into artifact (subject, job_id, path, name, sha256)
    select p_subject, p_job_id, p_folder || '/' || name, name,
           case when name = 'model.safetensors' then p_sha256 end
      from unnest('{config.json,generation_config.json,model.safetensors,shape.json,tokenizer.json,tokenizer_config.json}'::text[]) name
    on conflict do nothing
$$;
