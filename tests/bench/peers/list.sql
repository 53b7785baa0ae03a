select a.architecture_id as _key, 'arch_' || a.architecture_id as id, 'srch_' || a.search_id as search,
       a.ordinal, a.step, a.tokens, a.ratio, a.type, a.params, a.params_non_embedding, a.flops_per_token,
       a.kv_bytes_per_token, s.context, a.shape_hash,
       case when a.snapshot is null then 'none' else 'snapshot' end as weights
  from architecture a join search s using (search_id)
 where a.architecture_id > $1 order by a.architecture_id limit $2
