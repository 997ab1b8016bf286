-- name: fingerprint
-- One digest over everything that makes up schemas dk, dk_aud and dk_pii; equal schemas give equal digests.
SELECT encode(sha256(convert_to(string_agg(line, E'\n' ORDER BY line), 'UTF8')), 'hex') FROM (
  SELECT format('column %s %s %s %s %s %s', c.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attgenerated) AS line
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (c.oid, a.attnum)
   WHERE c.relnamespace IN (SELECT n.oid FROM pg_namespace n WHERE n.nspname IN ('dk', 'dk_aud', 'dk_pii')) AND c.relkind IN ('r', 'v')
  UNION ALL SELECT format('constraint %s %s %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid)) FROM pg_constraint k WHERE k.connamespace IN (SELECT n.oid FROM pg_namespace n WHERE n.nspname IN ('dk', 'dk_aud', 'dk_pii'))
  UNION ALL SELECT format('index %s', pg_get_indexdef(i.indexrelid)) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace IN (SELECT n.oid FROM pg_namespace n WHERE n.nspname IN ('dk', 'dk_aud', 'dk_pii'))
  UNION ALL SELECT format('trigger %s %s', t.tgenabled, pg_get_triggerdef(t.oid)) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal AND c.relnamespace IN (SELECT n.oid FROM pg_namespace n WHERE n.nspname IN ('dk', 'dk_aud', 'dk_pii'))
  UNION ALL SELECT format('function %s %s', p.oid::regprocedure, CASE p.prokind WHEN 'f' THEN pg_get_functiondef(p.oid) END) FROM pg_proc p WHERE p.pronamespace IN (SELECT n.oid FROM pg_namespace n WHERE n.nspname IN ('dk', 'dk_aud', 'dk_pii'))
  UNION ALL SELECT format('grant %s %s', c.oid::regclass, c.relacl) FROM pg_class c WHERE c.relnamespace IN (SELECT n.oid FROM pg_namespace n WHERE n.nspname IN ('dk', 'dk_aud', 'dk_pii'))
) lines
