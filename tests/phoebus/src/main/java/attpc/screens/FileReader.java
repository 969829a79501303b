package attpc.screens;

import java.io.File;
import java.util.List;

/** Reads a file beside the screens as the part of Phoebus reads it for which the file is meant. */
interface FileReader {
    /** @return what Phoebus understood, one thing a line, its fields parted by tabs */
    List<String> read(File file) throws Exception;
}
