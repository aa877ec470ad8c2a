/** A tenant as the loader keeps it. */
import type { Owner } from './claims-index.ts'
import type { Place } from './problem.ts'
import type { TenantConfig } from './schema.ts'
import type { Origin } from './tenant-part.ts'
import { decodeTenant } from './tenant-text.ts'

export class TenantEntry implements Owner {
  readonly id: string
  /** As `encodeTenant` writes it: as an object it would take five times the memory. */
  readonly text: string
  readonly origin: Origin

  constructor(id: string, text: string, origin: Origin) {
    this.id = id
    this.text = text
    this.origin = origin
  }

  config(): TenantConfig {
    return decodeTenant(this.text)
  }

  place(): Place {
    return this.origin.placeOf(this)
  }
}
