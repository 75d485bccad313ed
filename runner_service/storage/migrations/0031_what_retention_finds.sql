-- Requests for redelivery go together with their run.
create index redeliveries_of_run on runner.redeliveries (run_id);

-- Replicas that are gone for good.
create index replicas_dead on runner.replicas (lease_expire_time) where dead;
