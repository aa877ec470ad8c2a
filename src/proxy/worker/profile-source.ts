/** Takes profiles of this process for somebody elsewhere, who asks for them piece by piece. One at a time. */
import { type ProfileRequest, takeProfile } from '../../runtime/profile.ts'

/** `last`: nothing follows; `failed`: it cannot be made, or not be finished. */
export type ProfilePiece =
  | { readonly text: string; readonly last: boolean }
  | { readonly failed: string }

export class ProfileSource {
  #id = 0
  #pieces: AsyncGenerator<string> | undefined
  #stop = new AbortController()

  /** Another one that has not come to its end is given up. */
  begin(id: number, request: ProfileRequest): void {
    this.end(this.#id)
    this.#id = id
    this.#stop = new AbortController()
    this.#pieces = takeProfile(request, this.#stop.signal)
  }

  /** The next piece, when it is there. Never rejects. */
  async next(id: number): Promise<ProfilePiece> {
    const pieces = this.#pieces
    if (pieces === undefined || id !== this.#id) return { failed: 'it was given up' }
    try {
      const { value, done } = await pieces.next()
      return { text: value ?? '', last: done === true }
    } catch (error) {
      return { failed: error instanceof Error ? error.message : String(error) }
    }
  }

  end(id: number): void {
    if (id !== this.#id) return
    this.#stop.abort()
    // What waits for a piece gets to know by the abort.
    void this.#pieces?.return(undefined).catch(() => {})
    this.#pieces = undefined
  }
}
