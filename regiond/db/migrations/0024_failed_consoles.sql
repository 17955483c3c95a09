-- What the console showed when a deployment failed.

alter table deployment add column console text not null default '';
comment on column deployment.console is 'The last lines of the guest''s serial output before the deployment failed, as plain text; it may hold secrets.';
