-- Was each spec installed? Loss of held-out documents of its own kind and of control text, before and after midtraining.
SELECT study, msm_spec, count(*) AS replicates, avg(own_before) AS own_before, avg(own_after) AS own_after,
       avg(control_before) AS control_before, avg(control_after) AS control_after, avg(gain_nats) AS gain_nats,
       count(*) FILTER (installed) AS installed
FROM absorption GROUP BY ALL ORDER BY ALL;
