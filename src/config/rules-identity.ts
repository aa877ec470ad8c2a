/** Rules for what a deployment is known by at the mixer: it must be one deployment's alone. */
import { endOf, type IpBlock, isLinkLocal, isLoopback, parseIpBlock } from '../codec/ip-block.ts'
import { isSpiffeId } from '../codec/spiffe-id.ts'
import type { Located, Verdicts } from './draft.ts'
import { mention, type Place, placeIn } from './problem.ts'
import type { TenantConfig } from './schema.ts'

interface Claim {
  readonly tenant: string
  readonly place: Place
}

interface BlockClaim extends Claim {
  readonly text: string
  readonly block: IpBlock
}

export function checkIdentities(
  tenants: readonly Located<TenantConfig>[],
  verdicts: Verdicts,
): void {
  const ids = new Map<string, Claim>()
  const blocks: BlockClaim[] = []
  for (const { value, place } of tenants) {
    const { identity } = value.deployment
    if (identity === undefined) continue
    const at = placeIn(place, 'deployment', 'identity')
    if (identity.spiffe !== undefined) {
      const claim = { tenant: value.id, place: placeIn(at, 'spiffe') }
      checkSpiffe(identity.spiffe, claim, { ids, verdicts })
    }
    for (const [index, text] of identity.address.entries()) {
      const block = parseIpBlock(text)
      const claim = { tenant: value.id, place: placeIn(at, 'address', index), text }
      const fault = block === undefined ? `${text} is no address` : blockFault(text, block)
      if (fault !== undefined) verdicts.problem(claim.place, fault)
      else if (block !== undefined) blocks.push({ ...claim, block })
    }
  }
  checkOverlaps(blocks, verdicts)
}

interface SpiffeIds {
  readonly ids: Map<string, Claim>
  readonly verdicts: Verdicts
}

function checkSpiffe(id: string, claim: Claim, { ids, verdicts }: SpiffeIds): void {
  if (!isSpiffeId(id)) {
    const message = `${id} is no SPIFFE id of one workload; segments are of letters, digits, ".", "_" and "-"`
    verdicts.problem(claim.place, message)
    return
  }
  const first = ids.get(id)
  if (first === undefined) ids.set(id, claim)
  else if (first.tenant !== claim.tenant)
    verdicts.problem(claim.place, claimedTwice(`the workload ${id}`, first, claim))
}

function blockFault(text: string, block: IpBlock): string | undefined {
  if (isLoopback(block.first) || isLinkLocal(block.first))
    return `${text}: loopback and link-local addresses tell no deployment from another`
  return text.endsWith('/0') ? `${text} holds every address` : undefined
}

/** In the order of their first addresses, a block overlaps the furthest one before it, or none. */
function checkOverlaps(blocks: readonly BlockClaim[], verdicts: Verdicts): void {
  let furthest: BlockClaim | undefined
  for (const claim of blocks.toSorted(byFirst)) {
    const overlaps = furthest !== undefined && claim.block.first <= endOf(furthest.block)
    if (furthest !== undefined && overlaps && furthest.tenant !== claim.tenant)
      verdicts.problem(
        claim.place,
        claimedTwice(`${claim.text}, or a part of it,`, furthest, claim),
      )
    if (furthest === undefined || endOf(claim.block) > endOf(furthest.block)) furthest = claim
  }
}

function byFirst(a: BlockClaim, b: BlockClaim): number {
  if (a.block.first !== b.block.first) return a.block.first < b.block.first ? -1 : 1
  return a.block.bits - b.block.bits
}

function claimedTwice(what: string, first: Claim, second: Claim): string {
  const message = `${what} is claimed by the tenants ${first.tenant} and ${second.tenant}`
  return `${message}; it stands also at ${mention(first.place)}`
}
