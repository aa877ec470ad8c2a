/** Rules for what a deployment is known by at the mixer: it must be one deployment's alone. */
import { type IpBlock, isLinkLocal, isLoopback, parseIpBlock } from '../codec/ip-block.ts'
import { isSpiffeId } from '../codec/spiffe-id.ts'
import type { Located, Verdicts } from './draft.ts'
import { placeIn } from './problem.ts'
import type { TenantConfig } from './schema.ts'

/** Of one tenant; that no other has the same is found with all claims, in `claims-index.ts`. */
export function checkIdentity({ value, place }: Located<TenantConfig>, verdicts: Verdicts): void {
  const { identity } = value.deployment
  if (identity === undefined) return
  const at = placeIn(place, 'deployment', 'identity')
  if (identity.spiffe !== undefined && !isSpiffeId(identity.spiffe)) {
    const message = `${identity.spiffe} is no SPIFFE id of one workload; segments are of letters, digits, ".", "_" and "-"`
    verdicts.problem(placeIn(at, 'spiffe'), message)
  }
  for (const [index, text] of identity.address.entries()) {
    const block = parseIpBlock(text)
    const fault = block === undefined ? `${text} is no address` : blockFault(text, block)
    if (fault !== undefined) verdicts.problem(placeIn(at, 'address', index), fault)
  }
}

/** Addresses that a deployment calls from. */
export interface BlockClaim {
  readonly block: IpBlock
  /** As the configuration has it. */
  readonly text: string
  readonly path: readonly (string | number)[]
}

/** The blocks that `tenant` claims, those that no tenant may claim left out. */
export function blocksOf(tenant: TenantConfig): BlockClaim[] {
  return (tenant.deployment.identity?.address ?? []).flatMap((text, index) => {
    const block = parseIpBlock(text)
    return block === undefined || blockFault(text, block) !== undefined
      ? []
      : [{ block, text, path: ['deployment', 'identity', 'address', index] }]
  })
}

function blockFault(text: string, block: IpBlock): string | undefined {
  if (isLoopback(block.first) || isLinkLocal(block.first))
    return `${text}: loopback and link-local addresses tell no deployment from another`
  return text.endsWith('/0') ? `${text} holds every address` : undefined
}
