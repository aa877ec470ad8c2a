/** Cuts a change of the tenants into messages that neither side is busy with for long. */
import { CHUNK_CHARS, type PrimaryMessage, type TenantChange } from '../ipc.ts'

type TenantsMessage = Extract<PrimaryMessage, { kind: 'tenants' }>

/** The messages of `change`, made one by one; at least one, and the last one says that it is. */
export function* tenantMessages(change: TenantChange): Generator<TenantsMessage> {
  const { generation, limits, listeners } = change
  let [changed, removed]: [string[], string[]] = [[], []]
  let chars = 0
  const message = (last: boolean): TenantsMessage => {
    const common = { kind: 'tenants', generation, limits, changed, removed } as const
    const taken = last ? { ...common, last, listeners } : { ...common, last }
    changed = []
    removed = []
    chars = 0
    return taken
  }
  for (const id of change.removed) {
    if (chars + id.length > CHUNK_CHARS) yield message(false)
    removed.push(id)
    chars += id.length
  }
  for (const text of change.changed) {
    if (chars + text.length > CHUNK_CHARS) yield message(false)
    changed.push(text)
    chars += text.length
  }
  yield message(true)
}
