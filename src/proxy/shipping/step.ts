/** What one step of a journal on its way into the ledger came to. */
export type Step =
  /** Nothing to do until more is written. */
  | { readonly kind: 'idle' }
  /** There is more to do at once. */
  | { readonly kind: 'more' }
  /** All that there was is in the ledger; it took a report of `sent` bytes. */
  | { readonly kind: 'caught-up'; readonly sent: number }
  /** The mixer could not be had, or not for this. */
  | { readonly kind: 'failed'; readonly detail: string }
  /** The mixer is well, but this journal cannot go on at the moment. */
  | { readonly kind: 'held'; readonly detail: string }

export const IDLE: Step = { kind: 'idle' }
export const MORE: Step = { kind: 'more' }
