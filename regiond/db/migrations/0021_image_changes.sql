-- Images have no resource pool: everybody who may see one learns of their changes, and of the progress of uploads.
create function image_changed() returns trigger language plpgsql as $$
begin
    perform notify_changed(array['images'], (select array_agg(id order by id) from resource_pool), '{}');
    return null;
end $$;
create trigger image_changed_rows after insert or delete on image for each row execute function image_changed();
create trigger image_changed after update on image
    for each row when (old.* is distinct from new.*) execute function image_changed();
