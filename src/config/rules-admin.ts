/** The rule that whoever may come from elsewhere has to show a token to the admin server. */
import { splitHostPort } from './addresses.ts'
import { socketPathOf } from './admin-schema.ts'
import type { Draft, Verdicts } from './draft.ts'
import { placeIn } from './problem.ts'

const LOOPBACK = /^(127\.\d+\.\d+\.\d+|::1)$/

export function checkAdmin({ admin, root }: Draft, verdicts: Verdicts): void {
  if (admin === undefined || admin.token !== undefined) return
  if (socketPathOf(admin.address) !== undefined) return
  if (LOOPBACK.test(splitHostPort(admin.address).host)) return
  verdicts.problem(
    placeIn(root, 'admin', 'address'),
    `${admin.address} is open to other machines and needs admin.token; allowed without: 127.0.0.1, [::1], localhost or unix:PATH`,
  )
}
