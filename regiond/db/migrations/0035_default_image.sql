-- usable by releases that know 0001

create table default_image (
    architecture text primary key,
    name text not null
);
comment on table default_image is 'The images of deployments that name none. An image that is added later changes no row.';
comment on column default_image.architecture is
    'Empty: the choice of an administrator, for all. Else recorded when the first image for it was ready.';
comment on column default_image.name is 'Of an image, as osystem/series. The image may have been deleted since.';

-- The only image of an architecture was the default without a setting; it stays so.
insert into default_image (architecture, name)
select architecture, min(name) from image
 where state = 'ready' and host_id is null and filetype <> 'iso'
 group by architecture having count(*) = 1;
