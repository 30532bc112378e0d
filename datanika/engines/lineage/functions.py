"""Built-in functions that depend on nothing but their arguments, by engine.

A function that is not here may be the tenant's own and read any table. Left out on purpose: what
runs SQL that it is given (``query_to_xml``, ``ts_stat``), and what reads sequences, settings,
variables, files or the catalog. A test compares the names with the engines' own catalogs.
"""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of ``text``."""
    return frozenset(text.split())


POSTGRES = words(
    """
    abbrev abs acos acosd acosh age any_value array_agg array_append array_cat array_dims array_fill
    array_length array_lower array_ndims array_position array_positions array_prepend array_remove
    array_replace array_reverse array_sample array_shuffle array_sort array_to_json array_to_string
    array_to_tsvector array_upper ascii asin asind asinh atan atan2 atan2d atand atanh avg bit_and
    bit_count bit_length bit_or bit_xor bool_and bool_or cardinality casefold cbrt ceil ceiling char
    char_length character_length chr clock_timestamp concat concat_ws convert convert_from
    convert_to corr cos cosd cosh cot cotd count covar_pop covar_samp crc32 crc32c cume_dist
    current_database current_schema current_schemas current_user date date_add date_bin date_part
    date_subtract date_trunc datemultirange daterange decode degrees dense_rank diameter div encode
    enum_first enum_larger enum_last enum_range enum_smaller erf erfc every exp extract factorial
    family first_value floor format gamma gcd gen_random_uuid generate_series generate_subscripts
    height host hostmask initcap int4range int8range interval isempty isfinite json_agg
    json_agg_strict json_array_length json_build_array json_build_object json_each json_each_text
    json_extract_path json_extract_path_text json_object json_object_agg json_object_agg_strict
    json_object_agg_unique json_object_agg_unique_strict json_object_field json_object_field_text
    json_object_keys json_populate_record json_populate_recordset json_strip_nulls json_to_record
    json_to_recordset json_to_tsvector json_typeof jsonb_agg jsonb_agg_strict jsonb_array_element
    jsonb_array_element_text jsonb_array_elements jsonb_array_elements_text jsonb_array_length
    jsonb_build_array jsonb_build_object jsonb_delete jsonb_delete_path jsonb_each jsonb_each_text
    jsonb_exists jsonb_exists_all jsonb_exists_any jsonb_extract_path jsonb_extract_path_text
    jsonb_hash jsonb_hash_extended jsonb_insert jsonb_object jsonb_object_agg
    jsonb_object_agg_strict jsonb_object_agg_unique jsonb_object_agg_unique_strict
    jsonb_object_field jsonb_object_field_text jsonb_object_keys jsonb_path_exists
    jsonb_path_exists_opr jsonb_path_exists_tz jsonb_path_match jsonb_path_match_opr
    jsonb_path_match_tz jsonb_path_query jsonb_path_query_array jsonb_path_query_array_tz
    jsonb_path_query_first jsonb_path_query_first_tz jsonb_path_query_tz jsonb_populate_record
    jsonb_populate_record_valid jsonb_populate_recordset jsonb_pretty jsonb_set jsonb_set_lax
    jsonb_strip_nulls jsonb_to_record jsonb_to_recordset jsonb_to_tsvector jsonb_typeof justify_days
    justify_hours justify_interval lag last_value lcm lead left length lgamma like ln log log10
    lower lower_inc lower_inf lpad ltrim make_date make_interval make_time make_timestamp
    make_timestamptz masklen max md5 min min_scale mod mode money multirange netmask network
    normalize now nth_value ntile num_nonnulls num_nulls nummultirange numrange octet_length
    overlaps overlay parse_ident path percent_rank percentile_cont percentile_disc phraseto_tsquery
    pi plainto_tsquery position pow power quote_ident quote_literal radians radius random
    random_normal range_agg range_merge rank regexp_count regexp_instr regexp_like regexp_match
    regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr
    regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy
    repeat replace reverse right round row_number row_to_json rpad rtrim scale session_user set_bit
    set_byte set_masklen sha224 sha256 sha384 sha512 sign sin sind sinh slope split_part sqrt
    starts_with statement_timestamp stddev stddev_pop stddev_samp string_agg string_to_array
    string_to_table strip strpos substr substring sum tan tand tanh text time timeofday timestamp
    timestamptz timezone to_ascii to_bin to_char to_date to_hex to_json to_jsonb to_number to_oct
    to_timestamp to_tsquery to_tsvector transaction_timestamp translate trim_array trim_scale trunc
    ts_headline ts_rank ts_rank_cd tsmultirange tsrange tstzmultirange tstzrange tsvector_to_array
    unicode_assigned unicode_version unistr unnest upper upper_inc upper_inf uuid_extract_timestamp
    uuid_extract_version uuidv4 uuidv7 var_pop var_samp variance version websearch_to_tsquery width
    width_bucket xml xml_is_well_formed xml_is_well_formed_content xml_is_well_formed_document
    xmlagg xmlcomment xmlexists xmltext xpath xpath_exists
    """
)
"""Of ``pg_catalog``."""

DUCKDB = words(
    """
    abs acos acosh age aggregate ago any_value apply approx_count_distinct approx_quantile
    approx_top_k arbitrary arg_max arg_max_null arg_max_nulls_last arg_min arg_min_null
    arg_min_nulls_last argmax argmin array_agg array_aggr array_aggregate array_append array_apply
    array_cat array_concat array_contains array_cosine_distance array_cosine_similarity
    array_cross_product array_distance array_distinct array_dot_product array_extract array_filter
    array_grade_up array_has array_has_all array_has_any array_indexof array_inner_product
    array_intersect array_length array_negative_dot_product array_negative_inner_product
    array_pop_back array_pop_front array_position array_prepend array_push_back array_push_front
    array_reduce array_resize array_reverse array_reverse_sort array_select array_slice array_sort
    array_to_json array_to_string array_transform array_unique array_value array_where array_zip
    ascii asin asinh atan atan2 atanh avg base64 bin bit_and bit_count bit_length bit_or
    bit_position bit_xor bitstring bitstring_agg bool_and bool_or cardinality cbrt ceil ceiling
    century char_length character_length chr concat concat_ws contains corr cos cosh cot count
    count_if count_star countif covar_pop covar_samp cume_dist current_catalog current_database
    current_date current_localtime current_localtimestamp current_role current_user
    damerau_levenshtein date_add date_diff date_part date_sub date_trunc datediff datepart datesub
    datetrunc day dayname dayofmonth dayofweek dayofyear days_in_month decade decode degrees
    dense_rank editdist3 element_at encode ends_with entropy epoch epoch_ms epoch_ns epoch_us
    equi_width_bins era even exp factorial favg fdiv fill filter first first_value flatten floor
    fmod format formatReadableDecimalSize formatReadableSize format_bytes from_base64 from_binary
    from_hex from_json from_json_strict fsum gamma gcd gen_random_uuid generate_series
    generate_subscripts geomean geometric_mean get_bit get_current_time get_current_timestamp
    grade_up greatest greatest_common_divisor group_concat hamming hash hex histogram
    histogram_exact hour icu_sort_key instr isfinite isinf isnan isodow isoyear jaccard
    jaro_similarity jaro_winkler_similarity json json_array json_array_length json_contains
    json_exists json_extract json_extract_path json_extract_path_text json_extract_string
    json_group_array json_group_object json_group_structure json_keys json_merge_patch json_object
    json_pretty json_quote json_structure json_transform json_transform_strict json_type json_valid
    json_value julian kahan_sum kurtosis kurtosis_pop lag last last_day last_value lcase lcm lead
    least least_common_multiple left left_grapheme len length length_grapheme levenshtein lgamma
    list list_aggr list_aggregate list_any_value list_append list_apply list_approx_count_distinct
    list_avg list_bit_and list_bit_or list_bit_xor list_bool_and list_bool_or list_cat list_concat
    list_contains list_cosine_distance list_cosine_similarity list_count list_distance list_distinct
    list_dot_product list_element list_entropy list_extract list_filter list_first list_grade_up
    list_has list_has_all list_has_any list_histogram list_indexof list_inner_product list_intersect
    list_kurtosis list_kurtosis_pop list_last list_mad list_max list_median list_min list_mode
    list_negative_dot_product list_negative_inner_product list_pack list_position list_prepend
    list_product list_reduce list_resize list_reverse list_reverse_sort list_select list_sem
    list_skewness list_slice list_sort list_stddev_pop list_stddev_samp list_string_agg list_sum
    list_transform list_unique list_value list_var_pop list_var_samp list_where list_zip listagg ln
    log log10 log2 lower lpad ltrim mad make_date make_time make_timestamp make_timestamp_ms
    make_timestamp_ns make_timestamptz map map_concat map_contains map_contains_entry
    map_contains_value map_entries map_extract map_extract_value map_from_entries map_keys
    map_values max max_by md5 md5_number md5_number_lower md5_number_upper mean median microsecond
    millennium millisecond min min_by minute mismatches mod mode month monthname nanosecond
    nextafter nfc_normalize now nth_value ntile nullif octet_length ord parse_dirname parse_dirpath
    parse_filename parse_formatted_bytes parse_path percent_rank pi position pow power prefix printf
    product quantile quantile_cont quantile_disc quarter radians random range rank rank_dense reduce
    regexp_extract regexp_extract_all regexp_full_match regexp_matches regexp_replace
    regexp_split_to_array regexp_split_to_table regr_avgx regr_avgy regr_count regr_intercept
    regr_r2 regr_slope regr_sxx regr_sxy regr_syy repeat replace reservoir_quantile reverse right
    right_grapheme round round_even roundbankers row row_number row_to_json rpad rtrim second sem
    session_user set_bit sha1 sha256 sign signbit sin sinh skewness split split_part sqrt
    starts_with stddev stddev_pop stddev_samp str_split str_split_regex strftime string_agg
    string_split string_split_regex string_to_array strip_accents strlen strpos strptime
    struct_concat struct_contains struct_extract struct_extract_at struct_has struct_indexof
    struct_insert struct_keys struct_pack struct_position struct_update struct_values substr
    substring substring_grapheme suffix sum sumkahan switch tan tanh time_bucket timezone
    timezone_hour timezone_minute to_base to_base64 to_binary to_centuries to_days to_decades to_hex
    to_hours to_json to_microseconds to_millennia to_milliseconds to_minutes to_months to_quarters
    to_seconds to_timestamp to_weeks to_years today transaction_timestamp translate trim trunc
    try_strptime typeof ucase unbin unhex unicode union_extract union_tag union_value upper
    url_decode url_encode user uuid uuidv4 uuidv7 var_pop var_samp variance version wavg week
    weekday weekofyear weighted_avg xor year yearweek
    """
)
"""Scalars, aggregates and macros of ``duckdb_functions()``."""

AGGREGATES = words(
    """
    any_value approx_count_distinct approx_quantile approx_top_k arbitrary arg_max arg_max_null
    arg_max_nulls_last arg_min arg_min_null arg_min_nulls_last argmax argmin array_agg avg bit_and
    bit_or bit_xor bitstring_agg bool_and bool_or corr count count_if count_star countif covar_pop
    covar_samp cume_dist dense_rank entropy every favg fill first first_value fsum group_concat
    histogram histogram_exact json_agg json_agg_strict json_object_agg json_object_agg_strict
    json_object_agg_unique json_object_agg_unique_strict jsonb_agg jsonb_agg_strict jsonb_object_agg
    jsonb_object_agg_strict jsonb_object_agg_unique jsonb_object_agg_unique_strict kahan_sum
    kurtosis kurtosis_pop lag last last_value lead list listagg mad max max_by mean median min
    min_by mode nth_value ntile percent_rank percentile_cont percentile_disc product quantile
    quantile_cont quantile_disc range_agg range_intersect_agg rank rank_dense regr_avgx regr_avgy
    regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy reservoir_quantile
    row_number sem skewness stddev stddev_pop stddev_samp string_agg sum sumkahan var_pop var_samp
    variance xmlagg
    """
)
"""Those that make one value of several rows."""

SETS = words(
    """
    explode flatten generate_series generate_subscripts json_array_elements json_array_elements_text
    json_each json_each_text json_object_keys json_populate_record json_populate_recordset
    json_to_record json_to_recordset jsonb_array_elements jsonb_array_elements_text jsonb_each
    jsonb_each_text jsonb_object_keys jsonb_path_query jsonb_path_query_tz jsonb_populate_record
    jsonb_populate_recordset jsonb_to_record jsonb_to_recordset posexplode range regexp_matches
    regexp_split_to_table string_to_table unnest
    """
)
"""Those that may stand in FROM, or give several rows in a select list."""

WORDS = words(
    """
    all and anti any array as asof between bigint bit bpchar by case cast char character coalesce
    collate columns cross cube current_date current_time current_timestamp dec decimal default
    distinct double else end except exclude excluding exists extract filter float from full greatest
    group grouping having hugeint ilike in including inner int integer intersect interval is join
    json json_array json_exists json_object json_query json_value lateral least left like limit list
    localtime localtimestamp map materialized natural normalize not nullif numeric offset on only or
    order outer over overlay partition position positional precision qualify recursive rename
    replace return right rollup row rows select semi set sets similar smallint some struct substring
    table then time timestamp timestamptz timetz tinyint treat trim try_cast union unnest using
    values varbit varchar varying when where window with within xmlattributes xmlelement xmlforest
    xmlparse xmlserialize
    """
)
"""What stands before a parenthesis in SQL and is no function of the catalog."""
