-- Where racks and RPC clients find the regions. Kept for a week after a region was last seen there, so that racks go on
-- dialling one that is down for a while.
create table region_address (
    address text primary key,
    seen_at timestamptz not null default now()
);

-- Which authority the racks of this installation trust: a region without it must not quietly begin with another.
alter table installation add column authority_fingerprint text;
