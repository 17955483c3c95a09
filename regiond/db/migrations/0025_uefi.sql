-- Images that boot with UEFI firmware only, and servers whose guests cannot have it.
alter table image add column uefi boolean;
comment on column image.uefi is 'Whether the disk boots with UEFI firmware only; null until it was checked.';
alter table server add column uefi_firmware boolean;
comment on column server.uefi_firmware is 'Whether guests can have UEFI firmware; null: not known.';
