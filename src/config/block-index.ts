/** Address blocks, each of one owner: blocks of two owners must not overlap. */
import { endOf, type IpBlock, startOf } from '../codec/ip-block.ts'

export interface OwnedBlock<Owner> {
  readonly block: IpBlock
  readonly owner: Owner
}

/** Beyond this many new blocks it is cheaper to go through all of them in their order. */
const FEW = 32

/**
 * Blocks of 100,000 tenants, changed at the cost of what changes. Blocks are CIDR: of two, one holds the other, or they
 * have nothing in common.
 */
export class BlockIndex<Owner, Block extends OwnedBlock<Owner>> {
  /** By their first addresses, the larger of two first. */
  #sorted: Block[] = []
  #added: Block[] = []

  add(blocks: readonly Block[]): void {
    this.#added.push(...blocks)
  }

  /** Lets go of blocks as they were added, each of its owner. */
  remove(blocks: readonly OwnedBlock<Owner>[]): void {
    const owners = new Set(blocks.map(({ owner }) => owner))
    if (blocks.length > FEW) this.#sorted = this.#sorted.filter(({ owner }) => !owners.has(owner))
    else for (const block of blocks) this.#removeOne(block)
    this.#added = this.#added.filter(({ owner }) => !owners.has(owner))
  }

  /** Takes in what was added. Gives each added block that overlaps one of another owner, with that one. */
  settle(): (readonly [Block, Block])[] {
    const added = this.#added
    this.#added = []
    if (added.length === 0) return []
    if (added.length > FEW) {
      this.#sorted = [...this.#sorted, ...added].toSorted(byFirst)
      return overlapsIn(this.#sorted)
    }
    const overlaps: (readonly [Block, Block])[] = []
    for (const block of added) {
      const other = this.#overlapping(block)
      if (other !== undefined) overlaps.push([other, block])
      this.#sorted.splice(this.#indexOf(block.block), 0, block)
    }
    return overlaps
  }

  #removeOne({ block, owner }: OwnedBlock<Owner>): void {
    for (let index = this.#indexOf(block); ; index += 1) {
      const other = this.#sorted[index]
      if (other === undefined || compare(other.block, block) !== 0) return
      if (other.owner !== owner) continue
      this.#sorted.splice(index, 1)
      return
    }
  }

  #overlapping({ block, owner }: Block): Block | undefined {
    const end = endOf(block)
    for (let index = this.#indexOf(block); ; index += 1) {
      const other = this.#sorted[index]
      if (other === undefined || other.block.first > end) break
      if (other.owner !== owner) return other
    }
    for (let bits = block.bits; bits >= 0; bits -= 1) {
      const around = { first: startOf(block.first, bits), bits }
      for (let index = this.#indexOf(around); ; index += 1) {
        const other = this.#sorted[index]
        if (other?.block.first !== around.first || other.block.bits !== bits) break
        if (other.owner !== owner) return other
      }
    }
    return undefined
  }

  /** Where `block` stands, or would stand. */
  #indexOf(block: IpBlock): number {
    let [low, high] = [0, this.#sorted.length]
    while (low < high) {
      const middle = (low + high) >> 1
      const other = this.#sorted[middle]
      if (other !== undefined && compare(other.block, block) < 0) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** In the order of their first addresses, a block overlaps the furthest one before it, or none. */
function overlapsIn<Owner, Block extends OwnedBlock<Owner>>(
  sorted: readonly Block[],
): (readonly [Block, Block])[] {
  const overlaps: (readonly [Block, Block])[] = []
  let furthest: Block | undefined
  for (const each of sorted) {
    if (furthest !== undefined && each.block.first <= endOf(furthest.block)) {
      if (furthest.owner !== each.owner) overlaps.push([furthest, each])
    }
    if (furthest === undefined || endOf(each.block) > endOf(furthest.block)) furthest = each
  }
  return overlaps
}

function byFirst(a: OwnedBlock<unknown>, b: OwnedBlock<unknown>): number {
  return compare(a.block, b.block)
}

function compare(a: IpBlock, b: IpBlock): number {
  if (a.first !== b.first) return a.first < b.first ? -1 : 1
  return a.bits - b.bits
}
