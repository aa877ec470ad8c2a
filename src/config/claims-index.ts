/**
 * What belongs to one tenant alone, for all tenants: ids, addresses, names, credentials, and what deployments are known
 * by. A change costs what changes, so that one of 100,000 tenants can be taken out and put in while traffic waits.
 */
import { BlockIndex } from './block-index.ts'
import { ClaimTable } from './claim-table.ts'
import type { Verdicts } from './draft.ts'
import { mention, type Path, type Place, placeIn } from './problem.ts'
import { type BlockClaim, blocksOf } from './rules-identity.ts'
import { claimsOf, type Reference } from './rules-tenants.ts'
import type { TenantConfig } from './schema.ts'

/** A tenant that claims something. What it takes to say so in a message is asked for only then. */
export interface Owner {
  readonly id: string
  /** As it was added. */
  config(): TenantConfig
  place(): Place
}

interface OwnedBlock<O> extends BlockClaim {
  readonly owner: O
}

export interface ClaimsOptions<O> {
  /** What of `tenant` is also another's, if there is one with that id; always the same for the same tenant. */
  readonly references: (tenant: TenantConfig) => readonly Reference[]
  /** Whether `one` stands before `other` in the configuration. */
  readonly isBefore: (one: O, other: O) => boolean
}

type Pair<O> = readonly [O, O]

/** Where an owner claims what another one claims, too. */
type PathOf<O> = (owner: O) => Path

/** Of two tenants that claim the same, the problem is told of the one that stands later in the configuration. */
export class ClaimsIndex<O extends Owner> {
  readonly #options: ClaimsOptions<O>
  readonly #ids = new Map<string, O>()
  readonly #keys = new ClaimTable<O>((owner, key) => {
    for (const claim of claimsOf(owner.config())) if (claim.key === key) return true
    return false
  })
  readonly #blocks = new BlockIndex<O, OwnedBlock<O>>()
  /** By the id that is referred to. */
  readonly #referring = new Map<string, Set<O>>()
  #addresses = 0
  #hosts = 0
  #passthrough = 0

  constructor(options: ClaimsOptions<O>) {
    this.#options = options
  }

  /** How many tenants have an address. */
  get addresses(): number {
    return this.#addresses
  }

  /** How many tenants have hosts. */
  get hosts(): number {
    return this.#hosts
  }

  /** How many tenants have hosts, and end TLS themselves. */
  get passthrough(): number {
    return this.#passthrough
  }

  get size(): number {
    return this.#ids.size
  }

  owner(id: string): O | undefined {
    return this.#ids.get(id)
  }

  owners(): IterableIterator<O> {
    return this.#ids.values()
  }

  /** Adds what `owner` claims, whose configuration is `config`. False if there is a tenant of its id: nothing is added. */
  add(owner: O, config: TenantConfig, verdicts: Verdicts): boolean {
    const namesake = this.#ids.get(owner.id)
    if (namesake !== undefined) {
      this.#sameId([namesake, owner], verdicts)
      return false
    }
    this.#ids.set(owner.id, owner)
    this.#count(config, 1)
    for (const { key, what } of claimsOf(config)) {
      const first = this.#keys.claim(key, owner)
      if (first !== undefined) this.#contested(what, [first, owner], pathOfKey(key), verdicts)
    }
    this.#refer(owner, config, verdicts)
    if (config.deployment.identity !== undefined) this.#blocks.add(ownedBlocks(config, owner))
    return true
  }

  /** To be called when all of a change was added: what is only compared then is compared now. */
  settle(verdicts: Verdicts): void {
    for (const [one, other] of this.#blocks.settle()) {
      const pathOf: PathOf<O> = owner => (owner === one.owner ? one : other).path
      const later = this.#inOrder([one.owner, other.owner])[1] === one.owner ? one : other
      const what = `${later.text}, or a part of it,`
      this.#contested(what, [one.owner, other.owner], pathOf, verdicts)
    }
  }

  /** Takes out all that these claim; also what has only just been added, whatever became of it. */
  remove(owners: readonly O[]): void {
    const blocks: OwnedBlock<O>[] = []
    for (const owner of owners) {
      if (this.#ids.get(owner.id) !== owner) continue
      this.#ids.delete(owner.id)
      const config = owner.config()
      this.#count(config, -1)
      this.#keys.release(
        Array.from(claimsOf(config), ({ key }) => key),
        owner,
      )
      for (const { id } of this.#options.references(config)) {
        const referring = this.#referring.get(id)
        referring?.delete(owner)
        if (referring?.size === 0) this.#referring.delete(id)
      }
      if (config.deployment.identity !== undefined) blocks.push(...ownedBlocks(config, owner))
    }
    if (blocks.length > 0) this.#blocks.remove(blocks)
  }

  #count({ address, hosts, passthrough }: TenantConfig, by: 1 | -1): void {
    if (address !== undefined) this.#addresses += by
    if (hosts.length > 0) this.#hosts += by
    if (hosts.length > 0 && passthrough) this.#passthrough += by
  }

  #refer(owner: O, config: TenantConfig, verdicts: Verdicts): void {
    for (const reference of this.#options.references(config)) {
      const { id } = reference
      if (id === owner.id) continue
      const referring = this.#referring.get(id)
      if (referring === undefined) this.#referring.set(id, new Set([owner]))
      else referring.add(owner)
      const named = this.#ids.get(id)
      if (named !== undefined) referredTo(named, owner, reference, verdicts)
    }
    for (const other of this.#referring.get(owner.id) ?? []) {
      for (const reference of this.#options.references(other.config()))
        if (reference.id === owner.id) referredTo(owner, other, reference, verdicts)
    }
  }

  #sameId(pair: Pair<O>, verdicts: Verdicts): void {
    const [first, second] = this.#inOrder(pair)
    const message = (): string =>
      `the tenant ${second.id} is also at ${mention(placeIn(first.place(), 'id'))}`
    verdicts.problem(placeIn(second.place(), 'id'), message)
  }

  #contested(what: string, pair: Pair<O>, pathOf: PathOf<O>, verdicts: Verdicts): void {
    const [first, second] = this.#inOrder(pair)
    verdicts.problem(placeIn(second.place(), ...pathOf(second)), () => {
      const place = placeIn(first.place(), ...pathOf(first))
      return `${what} is claimed by the tenants ${first.id} and ${second.id}; it stands also at ${mention(place)}`
    })
  }

  #inOrder([one, other]: Pair<O>): Pair<O> {
    return this.#options.isBefore(one, other) ? [one, other] : [other, one]
  }
}

function ownedBlocks<O>(config: TenantConfig, owner: O): OwnedBlock<O>[] {
  return blocksOf(config).map(claim => ({ ...claim, owner }))
}

function pathOfKey(wanted: string): PathOf<Owner> {
  return owner => {
    for (const { key, path } of claimsOf(owner.config())) if (key === wanted) return path
    return []
  }
}

function referredTo(
  named: Owner,
  owner: Owner,
  { what, path }: Reference,
  verdicts: Verdicts,
): void {
  verdicts.problem(placeIn(owner.place(), ...path), () => {
    const whose = `the tenants ${named.id} (by its id) and ${owner.id}`
    return `${what} are claimed by ${whose}; see ${mention(named.place())}`
  })
}
