-- as: explorers
-- columns: secret
SELECT * FROM information_schema.user_mapping_options;
SELECT * FROM information_schema.user_mapping_optiows;
SELECT option_value FROM information_schema.foreign_server_options;
SELECT option_value FROM information_schema.foreign_server_optiows;
SELECT * FROM information_schema._pg_user_mappings;
SELECT * FROM information_schema._pg_user_mappiwgs;
SELECT * FROM information_schema.sql_features;
SELECT * FROM information_schema.sql_featuwes;
