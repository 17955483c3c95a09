-- A host has exactly one pinned certificate or SSH host key: the one with the fingerprint that people compared. A rack
-- could report several, and racks then trusted each of them. An event names each host of which others are removed. What
-- does not begin with that one stays as it is: a region refuses to use it until a person accepts the host's identity.

do $$
declare
    host record;
    body text;
    kept text;
    digest text;
begin
    for host in select id, name, pinned, pinned_fingerprint from vm_host where pinned is not null order by id loop
        begin
            body := substring(host.pinned from E'^-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/=\n]+)\n-----END CERTIFICATE-----');
            if body is not null then
                kept := E'-----BEGIN CERTIFICATE-----\n' || body || E'\n-----END CERTIFICATE-----\n';
                digest := encode(sha256(decode(body, 'base64')), 'hex');
            else
                kept := substring(host.pinned from '^[a-z0-9-]+ [A-Za-z0-9+/]+={0,2}');
                digest := 'SHA256:' || rtrim(encode(sha256(decode(split_part(kept, ' ', 2), 'base64')), 'base64'), '=');
            end if;
        exception when invalid_parameter_value then
            continue;
        end;
        continue when kept is null or kept = host.pinned or digest is distinct from host.pinned_fingerprint;
        update vm_host set pinned = kept where id = host.id;
        if rtrim(host.pinned, E' \r\n') <> rtrim(kept, E'\n') then
            insert into event (kind, level, message, host_id)
            values ('host_pin_reduced', 'warning',
                    format('%s: only %s is trusted from now on. Another certificate or key was pinned beside it, which only '
                           'a rack can have reported: check the racks', host.name, digest),
                    host.id);
        end if;
    end loop;
end $$;
