-- name: offers
-- Offers past their deadline, and deliveries that should seek a driver by now.
SELECT min(due) FROM (SELECT hard_deadline AS due FROM dk.driver_offers WHERE state = 'PENDING' AND hard_deadline <= dk.clock()
  UNION ALL SELECT dispatch_at FROM dk.deliveries WHERE state IN ('CREATED', 'SCHEDULED') AND dispatch_at <= dk.clock()) x

-- name: reassignment
-- Cases whose grace is over.
SELECT min(grace_until) FROM dk.reassignment_cases WHERE state = 'GRACE' AND grace_until <= dk.clock()

-- name: routes
-- Assignments without a plan for their driver.
SELECT min(d.assigned_at) FROM dk.deliveries d WHERE d.active
  AND NOT EXISTS (SELECT FROM dk.route_optimization_data r WHERE r.driver_id = d.driver_id AND r.state = 'PLANNED')

-- name: last_ok
-- The last finished run of each sweep, and the latest instant one reasoned at.
SELECT sweep, max(finished_at) AS last_ok, max(as_of) AS last_as_of FROM dk.sweep_runs WHERE status = 'OK' GROUP BY sweep
