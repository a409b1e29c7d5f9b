-- Does the place of an option decide? Agreement of both orders, and the aligned rate in either.
SELECT study, eval, readout, arm, aft_tokens,
       round(avg(agreement), 4) AS order_agreement,
       round(avg(rate_aligned_first), 4) AS aligned_when_first,
       round(avg(rate_aligned_second), 4) AS aligned_when_second
FROM order_agreement
GROUP BY study, eval, readout, arm, aft_tokens
ORDER BY order_agreement;
