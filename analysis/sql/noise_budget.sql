-- Where each contrast's noise comes from, and what twice the replicates or items would make of its interval.
SELECT study, contrast, replicates, items, half_width, half_width_twice_replicates, half_width_twice_items,
       base_share + replicate_share AS from_replicates,
       cluster_share + item_share + replicate_cluster_share + replicate_item_share AS from_items, repeat_share
FROM noise_budget
ORDER BY study, contrast;
