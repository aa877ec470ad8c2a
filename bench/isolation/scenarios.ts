/** What happens beside the quiet tenant. */
import { badTokens, flood, hung } from './noise/calls.ts'
import { newTls } from './noise/new-tls.ts'
import type { Noise } from './noise/noise.ts'
import { slowReads } from './noise/slow-reads.ts'
import { uploads } from './noise/uploads.ts'

export interface Scenario {
  readonly name: string
  /** One line, for `--list` and the document. */
  readonly title: string
  readonly noise?: Noise
}

/** What all others are compared with. */
export const ALONE = 'alone'

/** Every scenario, in the order of the table. */
export const SCENARIOS: readonly Scenario[] = [
  { name: ALONE, title: 'nobody else' },
  { name: 'flood', title: 'ten times its limit of calls', noise: flood },
  { name: 'slow-reads', title: 'large answers, taken bit by bit', noise: slowReads },
  { name: 'uploads', title: 'huge uploads, with ten times its bandwidth', noise: uploads },
  { name: 'new-tls', title: 'ten times its limit of new TLS connections', noise: newTls },
  { name: 'bad-tokens', title: 'tokens with wrong signatures', noise: badTokens },
  { name: 'hung', title: 'calls to a deployment that never answers', noise: hung },
]
