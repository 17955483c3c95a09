-- Texts of servers that are stored already get the marks (common/hidden_text.py) with which only administrators read
-- them: U+FDD0 before and U+FDD1 after. Releases before show and write such texts without marks, so they stop.

create function hidden_text(found text) returns text language sql immutable as $$
    select U&'\FDD0' || rtrim(found, '. ') || U&'\FDD1' || substr(found, length(rtrim(found, '. ')) + 1)
     where rtrim(found, '. ') <> ''
    union all select found where rtrim(found, '. ') = ''
$$;

-- Not worth a notification: what pages show of them is read again with the next page.
alter table operation disable trigger operation_changed;
update operation set error_message = hidden_text(error_message)
 where error_code in ('driver_failed', 'host_hung', 'host_unreachable', 'internal_error', 'link_lost', 'not_trusted',
                      'peer_changed', 'protocol_violation', 'response_rejected', 'server_unconfirmed');
alter table operation enable trigger operation_changed;

update operation_log l
   set message = case when l.details ? 'code' then hidden_text(l.message) else l.message end,
       details = l.details
                 || case when jsonb_typeof(l.details -> 'reason') = 'string'
                         then jsonb_build_object('reason', hidden_text(l.details ->> 'reason')) else '{}' end
                 || case when jsonb_typeof(l.details -> 'error') = 'string'
                         then jsonb_build_object('error', hidden_text(l.details ->> 'error')) else '{}' end
 where l.details ?| array['code', 'reason', 'error'];

update event
   set message = split_part(message, ': ', 1) || ': '
                 || hidden_text(substr(message, length(split_part(message, ': ', 1)) + 3))
 where level in ('warning', 'error') and (host_id is not null or operation_id is not null)
   and position(': ' in message) > 0;

alter table vm_host disable trigger user;
update vm_host set error_message = hidden_text(error_message) where error_message is not null;
alter table vm_host enable trigger user;

alter table machine disable trigger user;
update machine set error_description = hidden_text(error_description)
 where error_description is not null and state = 'failed_deployment';
alter table machine enable trigger user;

drop function hidden_text(text);
