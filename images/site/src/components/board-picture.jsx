const files = import.meta.glob('../assets/boards/*.svg', {
  eager: true,
  query: '?url',
  import: 'default',
});

// Connectors extend beyond the edge of a board, so its drawing has a margin.
const margin = 2.5;

/** A board seen from above, at four pixels per millimetre. */
export function BoardPicture({ board, lifeSize = false }) {
  const width = board.size[0] + 2 * margin;
  const height = board.size[1] + 2 * margin;
  return (
    <img
      src={files[`../assets/boards/${board.id}.svg`]}
      alt={`Drawing of a ${board.name} seen from above`}
      width={width * 4}
      height={height * 4}
      class={lifeSize ? 'board board-life-size' : 'board'}
      style={lifeSize ? `width:${width}mm` : null}
    />
  );
}
